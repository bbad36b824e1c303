// A Soapy device that is software: sample n of channel c is n + jc, counted from the device's making. What it is made with
// says what goes wrong: overflow_at, overflow_lost (samples), silent_after, fail_after, stamps=0 (no time), mtu, agc=1 (gains
// are its own until that is switched off).
#include <SoapySDR/Device.hpp>
#include <SoapySDR/Registry.hpp>
#include <complex>
#include <map>
#include <stdexcept>
#include <thread>

static long long number(const SoapySDR::Kwargs &args, const char *name, long long otherwise) {
    auto found = args.find(name);
    return found == args.end() ? otherwise : std::stoll(found->second);
}

class Counting : public SoapySDR::Device {
    SoapySDR::Kwargs args;
    std::vector<size_t> channels;
    std::map<size_t, double> gains, frequencies;
    double rate = 1e6;
    long long next = 0, at = 0, began = 1700000000LL * 1000000000LL;  // next sample; sample and time of the last change of rate
    long long overflowAt, silentAfter, failAfter;
    bool active = false;
    std::map<size_t, bool> automatic;

public:
    explicit Counting(const SoapySDR::Kwargs &given) : args(given) {
        overflowAt = number(args, "overflow_at", -1);
        silentAfter = number(args, "silent_after", -1);
        failAfter = number(args, "fail_after", -1);
    }
    std::string getDriverKey() const override { return "counting"; }
    std::string getHardwareKey() const override { return "counting"; }
    size_t getNumChannels(const int) const override { return 4; }

    SoapySDR::Stream *setupStream(const int, const std::string &format, const std::vector<size_t> &wanted,
                                  const SoapySDR::Kwargs &) override {
        if (format != "CF32") throw std::runtime_error("only CF32");
        channels = wanted;
        return reinterpret_cast<SoapySDR::Stream *>(this);
    }
    void closeStream(SoapySDR::Stream *) override {}
    size_t getStreamMTU(SoapySDR::Stream *) const override { return number(args, "mtu", 1000); }
    int activateStream(SoapySDR::Stream *, const int, const long long, const size_t) override { active = true; return 0; }
    int deactivateStream(SoapySDR::Stream *, const int, const long long) override { active = false; return 0; }

    int readStream(SoapySDR::Stream *, void *const *buffs, const size_t wanted, int &flags, long long &timeNs,
                   const long timeoutUs) override {
        flags = 0;
        if (!active) return SOAPY_SDR_STREAM_ERROR;
        if (overflowAt >= 0 && next >= overflowAt) {
            overflowAt = -1;
            next += number(args, "overflow_lost", 0);
            return SOAPY_SDR_OVERFLOW;
        }
        if (failAfter >= 0 && next >= failAfter) return SOAPY_SDR_CORRUPTION;
        if (silentAfter >= 0 && next >= silentAfter) {
            std::this_thread::sleep_for(std::chrono::microseconds(timeoutUs));
            return SOAPY_SDR_TIMEOUT;
        }
        if (number(args, "stamps", 1)) {
            flags = SOAPY_SDR_HAS_TIME;
            timeNs = began + static_cast<long long>((next - at) * 1e9 / rate + 0.5);
        }
        const size_t count = std::min<size_t>(wanted, number(args, "mtu", 1000));
        for (size_t c = 0; c < channels.size(); c++)
            for (size_t k = 0; k < count; k++)
                static_cast<std::complex<float> *>(buffs[c])[k] = std::complex<float>(float(next + k), float(channels[c]));
        next += count;
        return int(count);
    }
    void setSampleRate(const int, const size_t, const double wanted) override {
        if (wanted > 50e6) throw std::runtime_error("rate beyond 50 MHz");
        began += static_cast<long long>((next - at) * 1e9 / rate + 0.5);
        at = next;
        rate = wanted;
    }
    double getSampleRate(const int, const size_t) const override { return rate; }
    void setFrequency(const int, const size_t channel, const double wanted, const SoapySDR::Kwargs &) override {
        frequencies[channel] = wanted;
    }
    double getFrequency(const int, const size_t channel) const override { return frequencies.at(channel); }
    bool hasGainMode(const int, const size_t) const override { return number(args, "agc", 0); }
    void setGainMode(const int, const size_t channel, const bool on) override { automatic[channel] = on; }
    bool getGainMode(const int, const size_t channel) const override {
        auto told = automatic.find(channel);
        return told == automatic.end() ? number(args, "agc", 0) : told->second;
    }
    void setGain(const int, const size_t channel, const double wanted) override { gains[channel] = std::min(wanted, 60.0); }
    double getGain(const int, const size_t channel) const override { return gains.at(channel); }
};

static SoapySDR::KwargsList find(const SoapySDR::Kwargs &args) {
    if (args.count("driver") && args.at("driver") != "counting") return {};
    SoapySDR::Kwargs found = args;  // other words, another device: else SoapySDR hands out one that is open already
    found["driver"] = "counting";
    return {found};
}
static SoapySDR::Device *make(const SoapySDR::Kwargs &args) { return new Counting(args); }
static SoapySDR::Registry registration("counting", &find, &make, SOAPY_SDR_ABI_VERSION);

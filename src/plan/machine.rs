//! The limits of a machine that a time is predicted from: plain data.

use crate::error::{Error, Result};

/// A machine: what a core can do, what the caches hold, and what it takes to work together.
///
/// The default is a Zen 4 core with AVX-512 (an AMD EPYC, model 17, two cores of which `elman peak` measured): schedules
/// are chosen for it, whatever the machine they run on. A prediction may be of any other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// FLOP/s of fused multiply-adds of one core.
    pub fma: f64,
    /// As many of them as there are in a cycle.
    pub flop_per_cycle: f64,
    /// Bytes a second that one core loads from L1, L2, L3 and memory.
    pub bandwidth: [f64; 4],
    /// Bytes of L1d and L2 of each core, and of L3 of all.
    pub caches: [usize; 3],
    /// Seconds until a thread that is asked for help begins.
    pub fork: f64,
    /// Seconds in which a cache line goes from one core to another and back.
    pub round_trip: f64,
}

impl Default for Machine {
    /// Medians of many runs of `elman peak` on an AMD EPYC of model 17 (Zen 4), two cores; the sizes are of `lscpu`.
    fn default() -> Self {
        Self {
            // 114 to 116: 3.57 GHz times 32, a register of 512 bits a cycle.
            fma: 114e9,
            // Two fused multiply-adds of eight lanes, or one of sixteen: on Zen 4 AVX2 and AVX-512 have the same peak.
            flop_per_cycle: 32.0,
            // L1 140 to 200 (the loop that measures it is short), L2 102 to 107, L3 85 to 92, DRAM 15 to 16.
            bandwidth: [170e9, 105e9, 88e9, 16e9],
            caches: [32 << 10, 1 << 20, 32 << 20],
            // rayon's, where the other thread has gone to sleep: 5 to 50 µs; while it still looks around, 5.
            fork: 5e-6,
            round_trip: 75e-9,
        }
    }
}

impl Machine {
    /// Cycles a second: the constants of the model are in cycles.
    pub(super) fn clock(&self) -> f64 {
        self.fma / self.flop_per_cycle
    }

    /// That every limit is a positive number.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the one that is not.
    pub fn check(&self) -> Result<()> {
        let [l1, l2, l3, memory] = self.bandwidth;
        for (name, value) in [
            ("fma", self.fma),
            ("flop_per_cycle", self.flop_per_cycle),
            ("bandwidth of L1", l1),
            ("bandwidth of L2", l2),
            ("bandwidth of L3", l3),
            ("bandwidth of memory", memory),
            ("fork", self.fork),
            ("round_trip", self.round_trip),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::setting(name, "a positive number", value));
            }
        }
        let [l1, l2, l3] = self.caches;
        if !(0 < l1 && l1 <= l2 && l2 <= l3) {
            let got = format_args!("{l1}, {l2} and {l3} bytes");
            return Err(Error::setting(
                "caches",
                "sizes of L1d, L2 and L3, none of 0 and each at least the one before",
                got,
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_positive_and_caches_grow() {
        assert!(Machine::default().check().is_ok());
        let nowhere = Machine { fma: f64::NAN, ..Machine::default() };
        assert!(nowhere.check().unwrap_err().to_string().starts_with("fma: expected a positive number"));
        let upside_down = Machine { caches: [1 << 20, 32 << 10, 32 << 20], ..Machine::default() };
        assert!(upside_down.check().unwrap_err().to_string().starts_with("caches: expected sizes of L1d, L2 and L3"));
    }
}

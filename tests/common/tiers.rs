//! The tiers of this machine.

use elman::Isa;
use elman::internals::Kernels;

/// Every tier this machine has; says which it leaves untested.
pub(crate) fn tiers() -> Vec<&'static Kernels> {
    for isa in Isa::ALL {
        if Kernels::of(isa).is_none() {
            eprintln!("skipped: this machine has no {isa}");
        }
    }
    Kernels::available().collect()
}

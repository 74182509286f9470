//! The tiers of this machine.

use elman::Isa;
use elman::internals::Kernels;

/// Every tier this machine has, and which it leaves untested is said; or the one that `ELMAN_ISA` names.
pub(crate) fn tiers() -> Vec<&'static Kernels> {
    if std::env::var_os("ELMAN_ISA").is_some_and(|name| !name.is_empty()) {
        return vec![Kernels::active().expect("a tier of this machine")];
    }
    for &isa in Isa::ALL {
        if Kernels::of(isa).is_none() {
            eprintln!("skipped: this machine has no {isa}");
        }
    }
    Kernels::available().collect()
}

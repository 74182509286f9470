//! Threads that stay on one CPU each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The CPUs that this process may run on, by the system's numbers; none where the system does not tell.
#[must_use]
pub fn cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// Keeps the calling thread, and what it starts from now on, on one CPU; `false` where the system does not let it.
#[must_use]
pub fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
}

/// Threads of rayon's, one for each of the CPUs and kept there. `None` where the system does not let them.
#[must_use]
pub fn pinned_pool(cpus: &[usize]) -> Option<rayon::ThreadPool> {
    let failed = Arc::new(AtomicBool::new(false));
    let (list, told) = (cpus.to_vec(), Arc::clone(&failed));
    let start = move |thread: usize| {
        if !pin(list[thread]) {
            told.store(true, Ordering::Relaxed);
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cpus.len()).start_handler(start).build().ok()?;
    // Every thread has begun, and so has answered, when each has done something.
    pool.broadcast(|_| ());
    (!failed.load(Ordering::Relaxed)).then_some(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_pool_are_on_their_cpus() {
        let all = cpus();
        // Where the system does not tell, there is nothing to pin to.
        let Some(&last) = all.last() else { return };
        let pool = pinned_pool(&[last]).expect("a CPU that it may run on");
        assert_eq!(pool.current_num_threads(), 1);
        assert_eq!(pool.install(cpus), [last]);
        // The caller is not kept anywhere.
        assert_eq!(cpus(), all);
    }
}

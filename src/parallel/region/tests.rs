//! Regions in a busy pool, a small one, with shares that panic, and with members that went home.

use std::sync::atomic::AtomicU32;

use super::*;

/// Runs jobs of `shares` shares in a region.
fn play(threads: usize, shares: usize, jobs: usize) {
    inside(threads, || {
        for _ in 0..jobs {
            let mut runs = [const { AtomicU32::new(0) }; MOST_SHARES];
            let handed = run(shares, &|share| {
                runs[share].fetch_add(1, Ordering::Relaxed);
                // In a share there is no region to hand out in.
                assert!(crew(f64::INFINITY) == 1 && !run(2, &|_| ()));
            });
            let expected = |share| u32::from(handed && share < shares);
            assert!(runs.iter_mut().enumerate().all(|(share, runs)| *runs.get_mut() == expected(share)));
        }
    });
}

#[test]
fn every_share_runs_once() {
    for threads in [1, 2, 3, 8] {
        for shares in [1, 2, 5, MOST_SHARES] {
            play(threads, shares, 200);
        }
    }
}

#[test]
fn outside_of_a_region_nothing_is_handed_out() {
    let ran = |_| panic!("nothing is to be run");
    assert!(crew(f64::INFINITY) == 1 && !run(2, &ran));
    inside(1, || assert!(crew(f64::INFINITY) == 1 && !run(2, &ran)));
    inside(3, || {
        let most = crew(f64::INFINITY);
        assert!(most == 3 || !cfg!(feature = "threads"));
        assert!(!run(MOST_SHARES + 1, &ran));
        // Fewer threads inside of more, and not more inside of fewer.
        inside(2, || assert_eq!(crew(f64::INFINITY), 2.min(most)));
        inside(1, || assert!(crew(f64::INFINITY) == 1 && !run(2, &ran)));
        assert_eq!([0.0, 3.9e5, 4e5].map(crew), [1, 1, 2.min(most)]);
        inside(9, || assert_eq!(crew(f64::INFINITY), most));
        assert_eq!(crew(f64::INFINITY), most);
    });
    assert_eq!(crew(f64::INFINITY), 1);
}

#[cfg(feature = "threads")]
#[test]
fn others_take_a_part() {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) {
        eprintln!("skipped: on a single core the owner has done everything before another thread comes");
        return;
    }
    let begin = Instant::now();
    let taken = AtomicBool::new(false);
    while !taken.load(Ordering::Relaxed) {
        assert!(begin.elapsed() < Duration::from_secs(20), "no other thread ever took a share");
        inside(2, || {
            let owner = this_thread();
            run(3, &|_| {
                // Long enough for another thread to come, where there is a core for it.
                let begin = Instant::now();
                while begin.elapsed() < Duration::from_millis(1) {
                    taken.fetch_or(this_thread() != owner, Ordering::Relaxed);
                }
            });
        });
    }
}

#[cfg(feature = "threads")]
#[test]
fn finishes_in_a_pool_that_is_too_small_and_in_one_that_is_busy() {
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| play(4, 8, 200));
        // Regions inside of tasks, more than there are threads, and in each other's way.
        pool.scope(|scope| (0..12).for_each(|_| scope.spawn(|_| play(3, 8, 200))));
    }
    std::thread::scope(|scope| (0..6).for_each(|_| _ = scope.spawn(|| play(2, 8, 200))));
}

/// While an owner waits in a fork, rayon may give it the members' task.
#[cfg(feature = "threads")]
#[test]
fn an_owner_is_no_member_of_its_own() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let begin = Instant::now();
    pool.install(|| {
        for _ in 0..100 {
            // Yielding runs what the pool has: on its only thread that is this region's own member.
            inside(2, || while rayon::yield_now() == Some(rayon::Yield::Executed) {});
        }
    });
    assert!(begin.elapsed() < 100 * IDLE, "{:?}", begin.elapsed());
}

/// A member that has nothing to do goes back to its pool, where it may be waited for; what comes later runs without it.
#[cfg(feature = "threads")]
#[test]
fn idle_members_leave() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        inside(2, || {
            let (said, heard) = std::sync::mpsc::channel();
            rayon::spawn(move || said.send(()).unwrap());
            // The pool's only other thread may be a member.
            heard.recv().unwrap();
            let ran = AtomicU32::new(0);
            let handed = run(2, &|_| _ = ran.fetch_add(1, Ordering::Relaxed));
            assert_eq!(ran.into_inner(), if handed { 2 } else { 0 });
            // Where it is over, another one is opened inside of it.
            std::thread::sleep(2 * IDLE);
            inside(2, || assert!(crew(f64::INFINITY) == 2 && run(2, &|_| ())));
        });
    });
}

#[test]
fn gathered_threads_run_at_the_same_time() {
    for threads in [1, 2, 3] {
        inside(threads, || {
            for _ in 0..100 {
                let here = AtomicUsize::new(0);
                let all = gather(3, Duration::from_micros(100), |gathered| {
                    let all = gathered.threads;
                    gathered.run(&|share| {
                        assert!(share < all && all <= threads);
                        here.fetch_add(1, Ordering::AcqRel);
                        // Would wait for ever for a share that has no thread of its own.
                        while here.load(Ordering::Acquire) < all {
                            yield_now();
                        }
                    });
                    all
                });
                assert_eq!(here.into_inner(), all);
                // And then any thread takes any share again.
                let ran = AtomicU32::new(0);
                let handed = run(2, &|_| _ = ran.fetch_add(1, Ordering::Relaxed));
                assert_eq!(ran.into_inner(), if handed { 2 } else { 0 });
            }
        });
    }
    // Outside of a region there is one.
    assert_eq!(gather(3, Duration::ZERO, |gathered| gathered.threads), 1);
}

#[test]
fn a_panic_reaches_the_owner_when_all_shares_are_done() {
    for guilty in 0..4 {
        let done = AtomicU32::new(0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            inside(2, || {
                let all = |share| {
                    assert!(share != guilty, "on purpose");
                    done.fetch_add(1, Ordering::Relaxed);
                };
                if !run(4, &all) {
                    (0..4).for_each(all);
                }
            });
        }));
        let panic = outcome.expect_err("one of the shares panics");
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
        assert!(done.into_inner() == 3 || !cfg!(feature = "threads"));
        // The region of a panic is closed, and this thread has none.
        assert_eq!(crew(f64::INFINITY), 1);
    }
}

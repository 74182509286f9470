//! Teams in a busy pool, a small one, none, and with a panic beside them.

use super::*;

/// Each step every element becomes the sum of all: wrong as soon as a member works on an old or a half-taken state.
///
/// Gives the number of members that came.
fn play(members: usize, len: usize, turns: usize) -> usize {
    let mut team = Team::default();
    team.arrange(members, len, [1, 1].into_iter()).unwrap();
    let mut scratch = vec![(Vec::new(), 0); members];
    let divide = |left: Range<usize>, part: Range<usize>| {
        assert_eq!(left.start, part.start);
        (part.clone(), part.end..left.end)
    };
    team.meet(0..len, &mut scratch, &divide, &|mut member, own, (data, seat)| {
        *data = vec![1.0; 2 * len];
        *seat = 1 + member.seat;
        assert_eq!(own, member.share());
        for turn in 0..turns {
            let sum = data.iter().sum::<f32>() / data.len() as f32;
            assert_eq!(sum, turn as f32 + 1.0);
            for i in member.share() {
                data[i] = sum + 1.0;
                data[len + i] = sum + 1.0;
            }
            member.exchange(data);
        }
    });
    let mut seats: Vec<usize> = scratch.iter().map(|(_, seat)| *seat).filter(|&seat| seat > 0).collect();
    seats.sort();
    assert!(!seats.is_empty() && seats.iter().enumerate().all(|(i, &seat)| seat == i + 1), "{seats:?}");
    for (data, _) in scratch.iter().filter(|(_, seat)| *seat > 0) {
        assert!(data.iter().all(|&x| x == turns as f32 + 1.0));
    }
    seats.len()
}

#[test]
fn one_member_is_a_team() {
    assert_eq!(play(1, 37, 100), 1);
    // Without a pool no other thread ever comes.
    #[cfg(not(feature = "threads"))]
    assert_eq!(play(4, 37, 100), 1);
}

#[cfg(feature = "threads")]
#[test]
fn all_see_the_whole_before_the_next_step() {
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) {
        eprintln!("skipped: on a single core no other thread comes in time");
        return;
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    for members in [2, 3, 4] {
        // Who comes too late stays out, and one alone proves nothing.
        let met = (0..10_000).any(|_| pool.install(|| play(members, 37, 1000)) > 1);
        assert!(met, "{members} members: no two of them ever met");
    }
}

#[cfg(feature = "threads")]
#[test]
fn finishes_in_a_pool_that_is_too_small_and_in_one_that_is_busy() {
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| _ = play(4, 8, 200));
        // Teams inside of tasks, more than there are threads, and in each other's way.
        pool.scope(|scope| (0..12).for_each(|_| scope.spawn(|_| _ = play(3, 8, 200))));
    }
    std::thread::scope(|scope| (0..6).for_each(|_| _ = scope.spawn(|| play(2, 8, 500))));
}

#[test]
fn a_member_that_panics_does_not_leave_the_others_waiting() {
    let outcome = std::panic::catch_unwind(|| {
        let mut team = Team::default();
        team.arrange(2, 1, [2].into_iter()).unwrap();
        team.meet((), &mut [(), ()], &|(), _| ((), ()), &|mut member, (), ()| {
            // Alone, the first member is the one.
            assert!(member.seat + 1 < member.members, "on purpose");
            member.exchange(&mut [0.0; 2]);
            member.exchange(&mut [0.0; 2]);
        });
    });
    assert!(outcome.is_err());
}

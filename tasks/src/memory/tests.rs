//! Small problems, and what is published about them.

use super::*;

fn small(problem: Problem, steps: usize, kind: Kind) -> Memory {
    Memory { hidden: 24, lr: 0.01, minibatches: 400, every: 50, ..Memory::new(problem, steps, kind) }
}

fn run(memory: &Memory) -> Outcome {
    memory.run(Threads::one(), &mut |_| true).unwrap()
}

#[test]
fn a_gru_adds_and_copies() {
    for (problem, steps, minibatches) in [(Problem::Adding, 10, 400), (Problem::Copy, 3, 1200)] {
        let memory = Memory { minibatches, ..small(problem, steps, Kind::Gru) };
        let outcome = run(&memory);
        assert!(outcome.solved && outcome.solved_after.is_some(), "{:?}", outcome.fresh);
        assert!(outcome.fresh[0].1 > 0.8 * problem.baseline(), "{:?}", outcome.fresh);
        assert_eq!(outcome.trained.norms.len(), problem.all_steps(steps));
        assert_eq!(run(&Memory { minibatches: 7, ..memory.clone() }).losses, outcome.losses[..7]);
    }
}

#[test]
fn a_tanh_network_does_not_reach_back_and_an_irnn_does() {
    let verdict = |kind| run(&Memory { minibatches: 1, ..small(Problem::Adding, 80, kind) }).untrained.verdict;
    assert!(verdict(Kind::Rnn).contains("vanishes"), "{}", verdict(Kind::Rnn));
    assert!(verdict(Kind::Irnn).contains("steady"), "{}", verdict(Kind::Irnn));
    let lstm = run(&Memory { minibatches: 1, ..small(Problem::Adding, 20, Kind::Lstm) });
    assert_eq!(lstm.untrained.cell_norms.len(), 20);
}

#[test]
fn an_irnn_begins_as_published() {
    let model = small(Problem::Adding, 5, Kind::Irnn).model().unwrap();
    let named = |name: &str| model.params().named(name).unwrap().1;
    assert_eq!(named("rnn.weight_hh_l0")[..26].iter().sum::<f32>(), 2.0);
    assert!(named("rnn.bias_ih_l0").iter().chain(named("rnn.bias_hh_l0")).all(|&b| b == 0.0));
    let w = named("rnn.weight_ih_l0");
    assert!(w.iter().all(|w| w.abs() < 0.006) && w.iter().any(|w| w.abs() > 0.001));
}

#[test]
fn it_stops_where_it_is_told_to_and_where_it_diverges() {
    let memory = small(Problem::Adding, 5, Kind::Rnn);
    let outcome = memory.run(Threads::one(), &mut |progress| progress.minibatch < 3).unwrap();
    assert_eq!((outcome.losses.len(), outcome.fresh.last().unwrap().0, outcome.solved), (3, 3, false));
    let wild = Memory { lr: 1e20, ..small(Problem::Adding, 5, Kind::Irnn) };
    let outcome = run(&wild);
    assert!(outcome.diverged_at.is_some() && !outcome.solved, "{:?}", outcome.losses);
}

#[test]
fn settings_out_of_range_are_told() {
    let told = |memory: Memory| memory.run(Threads::one(), &mut |_| true).unwrap_err().to_string();
    let memory = || small(Problem::Adding, 1, Kind::Gru);
    assert_eq!(told(memory()), "steps: expected at least 2, got 1");
    assert_eq!(told(Memory { steps: 9, every: 0, ..memory() }), "every: expected at least 1, got 0");
    assert!(told(Memory { steps: 9, lr: f32::NAN, ..memory() }).ends_with("got NaN"));
    let read = Memory::from_toml("problem = 'copy'\nkind = 'irnn'\nsteps = 20").unwrap();
    assert_eq!(read, Memory::new(Problem::Copy, 20, Kind::Irnn));
    assert!(Memory::from_toml("kind = 'esn'").unwrap_err().to_string().contains("unknown variant `esn`"));
}

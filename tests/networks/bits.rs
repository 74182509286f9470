//! The same bits however the work of a network is cut.

use crate::compare::assert_same_bits;
use crate::network::{BY_ROW, Case, FORWARD, Options, Outcome};
use crate::tiers::tiers;
use elman::Nonlinearity;
use elman::Nonlinearity::Tanh;
use elman::internals::{Cell, Kernels, NetworkConfig, Plan, RecurrentWorkspace, Shape, Work};
use elman::{Isa, Threads};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Steps, batch, input, hidden.
fn shapes() -> impl Strategy<Value = [usize; 4]> {
    prop_oneof![
        [0..7_usize, 0..19_usize, 1..20_usize, 1..30_usize],
        [1..4_usize, 1..10_usize, 1..70_usize, 30..70_usize],
        [1..20_usize, 1..3_usize, 1..4_usize, 1..40_usize],
    ]
}

fn options() -> impl Strategy<Value = Options> {
    (0..Options::CELLS, 1..4_usize, 0..Options::BITS).prop_map(|(cell, layers, bits)| Options { cell, layers, bits })
}

fn run(case: &Case, kernels: &'static Kernels) -> Outcome {
    case.run(kernels, Threads::one(), &mut RecurrentWorkspace::default())
}

fn threads(n: usize) -> Threads {
    Threads::new(n).unwrap()
}

/// The rows of the whole batch's outcome are the outcome of those rows.
fn assert_same_rows(case: &Case, all: &Outcome, some: &Outcome, rows: &std::ops::Range<usize>, what: &str) {
    for name in BY_ROW {
        assert_same_bits(&case.rows_of(all, name, rows), some.get(name), &format!("{what}: {name} of {rows:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_number_of_threads_does_not_change_a_bit(shape in shapes(), options in options(), seed: u64) {
        let case = Case::random(shape, options, seed);
        for kernels in tiers() {
            let one = run(&case, kernels);
            let mut pass = RecurrentWorkspace::default();
            for n in [2, 3, 8] {
                let several = case.run(kernels, threads(n), &mut pass);
                one.assert_same_bits(&several, &format!("{} on {n} threads", kernels.isa()));
            }
        }
    }

    #[test]
    fn a_batch_cut_in_two_gives_the_same_bits(shape in shapes(), options in options(), seed: u64, at: prop::sample::Index) {
        // A mask is by the row's place in the batch, and the second half would have that of the first.
        let case = Case::random(shape, options.without(Options::DROPOUT), seed);
        let at = at.index(case.batch + 1);
        for kernels in tiers() {
            let all = run(&case, kernels);
            for rows in [0..at, at..case.batch] {
                let some = run(&case.narrow_rows(rows.clone()), kernels);
                assert_same_rows(&case, &all, &some, &rows, kernels.isa().name());
            }
        }
    }

    #[test]
    fn a_row_of_a_packed_batch_is_the_row_by_itself(shape in shapes(), options in options(), seed: u64, row: prop::sample::Index) {
        prop_assume!(shape[1] > 0);
        let options = options.without(Options::DROPOUT);
        let case = Case::random(shape, Options { bits: options.bits | Options::RAGGED, ..options }, seed);
        let row = row.index(case.batch);
        // Packed by itself, and padded to its own length.
        let packed = case.narrow_rows(row..row + 1);
        let length = packed.lengths.as_ref().unwrap()[0];
        let dense = Case { lengths: None, ..packed.clone() }.narrow_steps(0..length, None);
        let unbatched = Case { unbatched: true, ..dense.clone() };
        for kernels in tiers() {
            let all = run(&case, kernels);
            assert_same_rows(&case, &all, &run(&packed, kernels), &(row..row + 1), kernels.isa().name());
            for alone in [&dense, &unbatched] {
                let one = run(alone, kernels);
                for name in BY_ROW {
                    let all = case.rows_of(&all, name, &(row..row + 1));
                    let (steps, padding) = all.split_at(one.get(name).len());
                    assert_same_bits(steps, one.get(name), &format!("{} {name} of row {row}", kernels.isa()));
                    prop_assert!(padding.iter().all(|x| x.to_bits() == 0), "zeros behind the end of {name}");
                }
            }
        }
    }

    // A mask takes rows out of their own kernels, to those for batches.
    #[test]
    fn one_row_gives_the_bits_of_a_mask_that_marks_nothing(
        [steps, input, hidden] in [1..140_usize, 1..20_usize, 1..70_usize],
        options in options(),
        seed: u64,
    ) {
        let case = Case::random([steps, 1, input, hidden], options.without(Options::RAGGED | Options::RESETS), seed);
        let masked = Case { resets: Some(vec![false; steps]), ..case.clone() };
        for kernels in tiers() {
            run(&case, kernels).assert_same_bits(&run(&masked, kernels), kernels.isa().name());
        }
    }

    #[test]
    fn packed_rows_of_full_length_are_a_padded_batch(shape in shapes(), options in options(), seed: u64) {
        let case = Case::random(shape, options.without(Options::RAGGED), seed);
        let packed = Case { lengths: Some(vec![case.steps; case.batch]), ..case.clone() };
        for kernels in tiers() {
            // Masks too: an element's is by its place in the batch.
            run(&case, kernels).assert_same_bits(&run(&packed, kernels), kernels.isa().name());
        }
    }

    #[test]
    fn batch_first_gives_the_same_bits(shape in shapes(), options in options(), seed: u64) {
        let case = Case::random(shape, options.without(Options::BATCH_FIRST), seed);
        let turned = Case { config: NetworkConfig { batch_first: true, ..case.config.clone() }, ..case.clone() };
        for kernels in tiers() {
            run(&case, kernels).assert_same_bits(&run(&turned, kernels), kernels.isa().name());
        }
    }

    #[test]
    fn chunks_with_their_state_carried_are_the_whole_sequence(
        shape in shapes(),
        options in options(),
        seed: u64,
        chunk in prop_oneof![Just(1), 2..5_usize],
    ) {
        let off = Options::BIDIRECTIONAL | Options::RAGGED | Options::DROPOUT;
        let case = Case::random(shape, options.without(off), seed);
        for kernels in tiers() {
            let mut pass = RecurrentWorkspace::default();
            let whole = case.infer(kernels, Threads::one(), &mut pass);
            let (mut output, mut state) = (Vec::new(), None);
            for first in (0..case.steps).step_by(chunk) {
                let steps = first..case.steps.min(first + chunk);
                let part = case.narrow_steps(steps, state).infer(kernels, Threads::one(), &mut pass);
                output.extend_from_slice(part.get("output"));
                state = Some((part.get("h_n").to_vec(), part.get("c_n").to_vec()));
            }
            assert_same_bits(&output, whole.get("output"), &format!("{} output", kernels.isa()));
            if let Some((h, c)) = state {
                assert_same_bits(&h, whole.get("h_n"), &format!("{} h_n", kernels.isa()));
                assert_same_bits(&c, whole.get("c_n"), &format!("{} c_n", kernels.isa()));
            }
        }
    }

    #[test]
    fn avx2_and_avx512_give_the_same_bits(shape in shapes(), options in options(), seed: u64) {
        let (Some(avx2), Some(avx512)) = (Kernels::of(Isa::Avx2), Kernels::of(Isa::Avx512)) else {
            tiers();
            return Ok(());
        };
        let case = Case::random(shape, options, seed);
        run(&case, avx2).assert_same_bits(&run(&case, avx512), "avx2 and avx512");
    }

    #[test]
    fn training_is_inference_but_for_dropout(shape in shapes(), options in options(), seed: u64) {
        let dropping = Case::random(shape, options, seed);
        let case = Case { config: NetworkConfig { dropout: 0.0, ..dropping.config.clone() }, ..dropping.clone() };
        for kernels in tiers() {
            let trained = run(&case, kernels);
            for case in [&case, &dropping] {
                let inferred = case.infer(kernels, Threads::one(), &mut RecurrentWorkspace::default());
                for name in FORWARD {
                    assert_same_bits(trained.get(name), inferred.get(name), &format!("{} {name}", kernels.isa()));
                }
            }
        }
    }

    #[test]
    fn a_pass_remembers_nothing(
        shapes in [shapes(), shapes()],
        options in [options(), options()],
        seeds: [u64; 2],
        poisoned: bool,
    ) {
        let case = Case::random(shapes[0], options[0], seeds[0]);
        let [steps, batch, input, hidden] = shapes[1];
        // Larger in every way, or anything else.
        let larger = [steps + case.steps, batch + case.batch, input + 20, hidden + 30];
        let mut other = Case::random(if poisoned { larger } else { shapes[1] }, options[1], seeds[1]);
        if poisoned {
            other.x.fill(f32::NAN);
            other.d_y.fill(f32::NAN);
        }
        for kernels in tiers() {
            let mut pass = RecurrentWorkspace::default();
            other.run(kernels, threads(2), &mut pass);
            let again = case.run(kernels, Threads::one(), &mut pass);
            run(&case, kernels).assert_same_bits(&again, kernels.isa().name());
            other.infer(kernels, Threads::one(), &mut pass);
            let inferred = case.infer(kernels, Threads::one(), &mut pass);
            case.infer(kernels, Threads::one(), &mut RecurrentWorkspace::default()).assert_same_bits(&inferred, kernels.isa().name());
        }
    }
}

/// The plan of a layer in training.
fn plan(case: &Case, layer: usize, n: usize, isa: Isa) -> (Shape, Plan) {
    let NetworkConfig { cell, ref hidden_sizes, input_size, proj_size, .. } = case.config;
    let (h, _) = case.widths();
    let below = layer.checked_sub(1).map(|below| case.directions() * h[case.directions() * below]);
    let (input, hidden) = (below.unwrap_or(input_size), hidden_sizes[layer]);
    let (batch, steps) = (case.batch, case.steps);
    let shape = Shape { cell, input, hidden, projection: proj_size, batch, steps };
    (shape, Plan::new(shape, Work::Train { d_input: true }, threads(n), isa))
}

#[test]
fn work_that_several_threads_really_share_gives_the_same_bits() {
    let everything = Options::BIDIRECTIONAL | Options::RESETS | Options::ONE_SIZE | Options::DROPOUT;
    for kernels in tiers() {
        for cell in 0..Options::CELLS {
            for bits in [everything, everything | Options::RAGGED, Options::ONE_SIZE | Options::BATCH_FIRST] {
                // Rows for more workers than there are cores; and more than the elements from which dropout is shared.
                let case = Case::random([40, 67, 50, 70], Options { cell, layers: 2, bits }, 5);
                let one = run(&case, kernels);
                let mut pass = RecurrentWorkspace::default();
                for n in [2, 3, 8] {
                    for layer in 0..2 {
                        let (shape, plan) = plan(&case, layer, n, kernels.isa());
                        assert!(shape.flop() / n as f64 >= 2e6, "{n} threads have work: {shape:?}");
                        assert_eq!((plan.row_workers, plan.gradient_workers), (n, n), "{shape:?}");
                    }
                    let several = case.run(kernels, threads(n), &mut pass);
                    let what = format!("{} cell {cell} bits {bits} on {n} threads", kernels.isa());
                    one.assert_same_bits(&several, &what);
                    let inferred = case.infer(kernels, threads(n), &mut pass);
                    let alone = case.infer(kernels, Threads::one(), &mut RecurrentWorkspace::default());
                    alone.assert_same_bits(&inferred, &what);
                }
            }
        }
    }
}

#[cfg(feature = "threads")]
#[test]
fn the_same_bits_from_many_threads_at_once_and_from_inside_a_pool() {
    let options = Options { cell: 3, layers: 2, bits: Options::BIDIRECTIONAL };
    let case = Case::random([20, 33, 40, 50], options, 6);
    let kernels = Kernels::best();
    let one = run(&case, kernels);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                case.run(kernels, threads(8), &mut RecurrentWorkspace::default()).assert_same_bits(&one, "a thread")
            });
        }
    });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    pool.install(|| {
        rayon::join(
            || case.run(kernels, threads(8), &mut RecurrentWorkspace::default()).assert_same_bits(&one, "a pool"),
            || case.run(kernels, threads(2), &mut RecurrentWorkspace::default()).assert_same_bits(&one, "a pool"),
        )
    });
}

#[test]
fn a_nan_stays_in_its_row() {
    let everything = Options::BIDIRECTIONAL | Options::BATCH_FIRST;
    for kernels in tiers() {
        for cell in [Cell::Elman(Tanh), Cell::Elman(Nonlinearity::Relu), Cell::Gru, Cell::Lstm] {
            for bits in [everything, everything | Options::RAGGED] {
                let mut case = Case::random([5, 4, 3, 9], Options { cell: 0, layers: 2, bits }, 3);
                case = Case { config: NetworkConfig { cell, ..case.config.clone() }, ..case };
                case.h_0 = None;
                case.d_h_n = None;
                let mut layout = elman::params::ParamTable::new();
                let network = elman::internals::Recurrent::new(case.config.clone(), &mut layout, "").unwrap();
                let mut params = elman::Params::zeros(layout);
                network.init(&mut params, &mut elman::Rng::new(1));
                case.params = params.data().to_vec();
                let clean = run(&case, kernels);
                let (row, width) = (2, case.config.input_size);
                case.x.chunks_exact_mut(width).skip(row).step_by(4).for_each(|x| x.fill(f32::NAN));
                let outcome = run(&case, kernels);
                for rows in [0..row, row + 1..4] {
                    for name in BY_ROW {
                        let (a, b) = (case.rows_of(&clean, name, &rows), case.rows_of(&outcome, name, &rows));
                        assert_same_bits(&a, &b, &format!("{} {cell:?} {name}", kernels.isa()));
                    }
                }
                let steps = case.lengths.as_ref().map_or(5, |lengths| lengths[row]);
                let poisoned = case.rows_of(&outcome, "output", &(row..row + 1));
                let nans = poisoned.iter().filter(|y| y.is_nan()).count();
                assert_eq!(nans, steps * case.output_size(), "{} {cell:?}", kernels.isa());
            }
        }
    }
}

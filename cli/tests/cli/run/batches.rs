//! The forms of a batch: orientation, lengths, resets, states, nothing at all.

use elman::Rnn;
use elman::format::TensorFile;
use safetensors::tensor::Dtype;

use super::{outcome, over_x, refuses};
use crate::files::{Raw, bools, f32s, folder, i64s, model, random};

#[test]
fn orientation_threads_and_full_lengths_change_no_bit() {
    let folder = folder();
    let (steps, rows) = (5, 2);
    let x = random("input", &[steps, rows, 3]);
    let bytes = x.3.clone();
    let turned: Vec<u8> = (0..rows)
        .flat_map(|b| (0..steps).flat_map(move |t| (t * rows + b) * 12..(t * rows + b + 1) * 12))
        .map(|i| bytes[i])
        .collect();
    let turned = ("input", Dtype::F32, vec![rows, steps, 3], turned);
    let states = [random("h_0", &[4, rows, 2]), random("c_0", &[4, rows, 4])];
    let mask = [false, true, false, false, true, false, false, false, false, true];
    let turned_mask: Vec<_> = (0..rows).flat_map(|b| (0..steps).map(move |t| mask[t * rows + b])).collect();
    let resets = bools("resets", &[steps, rows], &mask);
    let turned_resets =
        i64s("resets", &[rows, steps], &turned_mask.iter().map(|&m| i64::from(m) * 7).collect::<Vec<_>>());
    let lengths = i64s("lengths", &[rows], &[5, 5]);

    let with = |x: &Raw<'static>, more: &[&Raw<'static>]| -> Vec<Raw<'static>> {
        let more = more.iter().map(|&raw| raw.clone());
        [x.clone()].into_iter().chain(states.clone()).chain(more).collect()
    };
    let expected = outcome(folder.path(), "lstm", &with(&x, &[&resets]), &["--threads", "1"]);
    assert_eq!(expected[0].0, [steps, rows, 4]);
    assert_eq!((&expected[1].0[..], &expected[2].0[..]), (&[4, rows, 2][..], &[4, rows, 4][..]));
    let without = outcome(folder.path(), "lstm", &with(&x, &[]), &[]);
    assert_ne!(without, expected, "the resets count");
    assert_eq!(outcome(folder.path(), "lstm", &with(&x, &[&lengths]), &[]), without);
    assert_eq!(outcome(folder.path(), "lstm", &with(&x, &[&resets, &lengths]), &["--threads", "2"]), expected);

    for more in [&[&turned_resets][..], &[&turned_resets, &lengths]] {
        let got = outcome(folder.path(), "lstm", &with(&turned, more), &["--batch-first"]);
        assert_eq!(got[0].0, [rows, steps, 4]);
        for t in 0..steps {
            for b in 0..rows {
                assert_eq!(got[0].1[(b * steps + t) * 4..][..4], expected[0].1[(t * rows + b) * 4..][..4]);
            }
        }
        assert_eq!(got[1..], expected[1..]);
    }
}

#[test]
fn a_row_by_itself_is_the_row_in_a_ragged_batch() {
    let folder = folder();
    let x = random("input", &[5, 2, 3]);
    let row: Vec<u8> = (0..3).flat_map(|t| x.3[(t * 2 + 1) * 12..][..12].to_vec()).collect();
    let row = ("input", Dtype::F32, vec![3, 3], row);
    let (h, c) = (random("h_0", &[4, 1, 2]), random("c_0", &[4, 1, 4]));
    let twice = |(name, dtype, _, bytes): &Raw<'static>, width: usize| {
        let bytes = bytes.chunks(width * 4).flat_map(|row| row.repeat(2)).collect();
        (*name, *dtype, vec![4, 2, width], bytes)
    };
    let lengths = i64s("lengths", &[2], &[5, 3]);
    let batch = outcome(folder.path(), "lstm", &[x, twice(&h, 2), twice(&c, 4), lengths], &[]);
    let flat = |(name, dtype, shape, bytes): Raw<'static>| (name, dtype, vec![shape[0], shape[2]], bytes);
    let (h, c) = (flat(h), flat(c));
    // Batch-first has no effect on a single sequence, nor has a length that is its own.
    let scalar = i64s("lengths", &[], &[3]);
    for (more, lengths) in
        [(&[][..], None), (&["--batch-first"], None), (&[], Some(scalar)), (&[], Some(i64s("lengths", &[1], &[3])))]
    {
        let tensors: Vec<_> = [row.clone(), h.clone(), c.clone()].into_iter().chain(lengths).collect();
        let alone = outcome(folder.path(), "lstm", &tensors, more);
        assert_eq!((&alone[0].0[..], &alone[1].0[..], &alone[2].0[..]), (&[3, 4][..], &[4, 2][..], &[4, 4][..]));
        for t in 0..5 {
            let expected = if t < 3 { &alone[0].1[t * 4..][..4] } else { &[0.0; 4] };
            assert_eq!(batch[0].1[(t * 2 + 1) * 4..][..4], *expected, "step {t}");
        }
        for layer in 0..4 {
            assert_eq!(batch[1].1[(layer * 2 + 1) * 2..][..2], alone[1].1[layer * 2..][..2]);
            assert_eq!(batch[2].1[(layer * 2 + 1) * 4..][..4], alone[2].1[layer * 4..][..4]);
        }
    }
}

#[test]
fn half_a_state_is_completed_with_zeros() {
    let folder = folder();
    let x = || random("input", &[5, 2, 3]);
    let (h, c) = (random("h_0", &[4, 2, 2]), random("c_0", &[4, 2, 4]));
    let (no_h, no_c) = (f32s("h_0", &[4, 2, 2], &[0.0; 16]), f32s("c_0", &[4, 2, 4], &[0.0; 32]));
    let run = |tensors: &[Raw<'_>]| outcome(folder.path(), "lstm", tensors, &[]);
    assert_eq!(run(&[x(), h.clone()]), run(&[x(), h, no_c.clone()]));
    assert_eq!(run(&[x(), c.clone()]), run(&[x(), no_h.clone(), c]));
    assert_eq!(run(&[x()]), run(&[x(), no_h, no_c]));
}

#[test]
fn nothing_gives_nothing_and_the_state_stays() {
    let folder = folder();
    let state = |rows| [random("h_0", &[4, rows, 2]), random("c_0", &[4, rows, 4])];
    let floats = |raw: &Raw<'_>| -> Vec<f32> { raw.3.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect() };
    let cases = [
        (vec![0, 2, 3], 2, None),
        (vec![5, 2, 3], 2, Some(vec![0, 0])),
        (vec![5, 0, 3], 0, None),
        (vec![5, 0, 3], 0, Some(vec![])),
        (vec![0, 0, 3], 0, None),
        // What has no elements can have any size.
        (vec![100_000_000_000_000_000, 0, 3], 0, None),
        (vec![100_000_000_000_000_000, 0, 3], 0, Some(vec![])),
    ];
    for (shape, rows, lengths) in cases {
        for batch_first in [false, true] {
            let shape = if batch_first { vec![shape[1], shape[0], 3] } else { shape.clone() };
            let [h, c] = state(rows);
            let input = if shape.contains(&0) { f32s("input", &shape, &[]) } else { random("input", &shape) };
            let mut tensors = vec![input, h.clone(), c.clone()];
            tensors.extend(lengths.as_ref().map(|lengths: &Vec<i64>| i64s("lengths", &[rows], lengths)));
            let got = outcome(folder.path(), "lstm", &tensors, if batch_first { &["--batch-first"] } else { &[] });
            assert_eq!(got[0].0, [shape[0], shape[1], 4]);
            assert!(got[0].1.iter().all(|&y| y == 0.0));
            assert_eq!(got[1], (vec![4, rows, 2], floats(&h)), "{shape:?}");
            assert_eq!(got[2], (vec![4, rows, 4], floats(&c)), "{shape:?}");
        }
    }
    let got = outcome(folder.path(), "lstm", &[f32s("input", &[0, 3], &[])], &[]);
    assert_eq!(got, [(vec![0, 4], vec![]), (vec![4, 2], vec![0.0; 8]), (vec![4, 4], vec![0.0; 16])]);
}

#[test]
fn layers_of_several_sizes_have_a_tensor_of_states_each() {
    let folder = folder();
    let layers = Rnn::builder(3, 4).hidden_sizes([4, 6]).bidirectional(true);
    model(&folder.path().join("sizes.safetensors"), layers, "", &[]);
    over_x(folder.path(), "sizes", &["--nonlinearity", "tanh"]).ok();
    let file = TensorFile::open(folder.path().join("y.safetensors")).unwrap();
    let all: Vec<_> = file.iter().map(|info| (info.name, info.shape.to_vec())).collect();
    let expected = [
        ("h_n_l0", vec![2, 4]),
        ("h_n_l0_reverse", vec![2, 4]),
        ("h_n_l1", vec![2, 6]),
        ("h_n_l1_reverse", vec![2, 6]),
        ("output", vec![5, 2, 12]),
    ];
    assert_eq!(all, expected);
    assert_eq!(file.read_f32("h_n_l1").unwrap().1[..6], file.read_f32("output").unwrap().1[4 * 24..][..6]);

    let refused =
        "h_0: expected none, as the layers have [4, 6] hidden units and no such tensor holds them, got [4, 2, 4]";
    refuses(&folder, "sizes", &[random("input", &[5, 2, 3]), random("h_0", &[4, 2, 4])], &[], refused);
}

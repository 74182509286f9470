//! What a state dict is refused for: every rule, told by the names of the tensors that break it.

use elman::Error;
use elman::format::{CellKind, Description, TensorFile, describe};

use super::descriptions::{file_of, gru, lstm, table_of, with};

/// The state dict after these changes: `name` is not there, `name: sizes` has that shape.
fn edited(description: &Description, edits: &[&str]) -> TensorFile {
    let mut table = table_of(description);
    for edit in edits {
        let (name, sizes) = edit.split_once(':').map_or((*edit, None), |(name, sizes)| (name, Some(sizes)));
        table.retain(|(known, _)| known != name);
        let shape = |sizes: &str| sizes.split(',').filter_map(|size| size.trim().parse().ok()).collect();
        table.extend(sizes.map(|sizes| (name.into(), shape(sizes))));
    }
    file_of(&table)
}

/// A state dict, the cell that it is said to be, what is changed of it, and every problem it has then.
type Rule<'a> = (&'a Description, Option<CellKind>, &'a [&'a str], &'a [&'a str]);

/// That each is refused with exactly these problems.
fn check(rules: &[Rule<'_>]) {
    for (description, kind, edits, expected) in rules {
        let file = edited(description, edits);
        match describe(&file, None, *kind).expect_err("this state dict is to be refused") {
            Error::Weights { path: Some(_), problems, .. } => assert_eq!(&problems, expected, "{edits:?}"),
            other => panic!("{other:?}"),
        }
    }
}

/// The LSTM in one direction, without its projection.
fn plain() -> Description {
    with(lstm(), |it| {
        it.proj_size = 0;
        it.bidirectional = false;
    })
}

/// Four layers.
fn deep() -> Description {
    with(gru(), |it| it.hidden_sizes = vec![4; 4])
}

/// Of `torch.nn.GRUCell`.
fn cell() -> Description {
    with(gru(), |it| it.unnumbered = true)
}

/// One layer with a projection.
fn projected() -> Description {
    with(lstm(), |it| {
        it.hidden_sizes = vec![5];
        it.bidirectional = false;
    })
}

/// A tensor that one layer has is asked of all.
#[test]
fn what_is_missing_is_told_by_name() {
    let (gru, lstm, plain, cell) = (gru(), lstm(), plain(), cell());
    check(&[
        // What is missing.
        (&gru, None, &["weight_ih_l0"], &["weight_ih_l0: missing"]),
        (&gru, None, &["weight_hh_l0"], &["weight_hh_l0: missing"]),
        (&gru, None, &["bias_hh_l0"], &["bias_hh_l0: missing, expected [12]"]),
        (&cell, None, &["bias_ih"], &["bias_ih: missing, expected [12]"]),
        (
            &lstm,
            None,
            &["rnn.weight_ih_l1_reverse", "rnn.weight_hr_l0", "rnn.bias_ih_l1"],
            &[
                "rnn.weight_hr_l0: missing, expected [2, 5]",
                "rnn.bias_ih_l1: missing, expected [20]",
                "rnn.weight_ih_l1_reverse: missing, expected [20, 4]",
            ],
        ),
        // A reverse in one layer, of one tensor: it asks for all of them.
        (
            &plain,
            None,
            &["rnn.weight_hh_l1_reverse: 20, 5"],
            &[
                "rnn.weight_ih_l0_reverse: missing, expected [20, 3]",
                "rnn.weight_hh_l0_reverse: missing, expected [20, 5]",
                "rnn.bias_ih_l0_reverse: missing, expected [20]",
                "rnn.bias_hh_l0_reverse: missing, expected [20]",
                "rnn.weight_ih_l1: expected [20, 10], got [20, 5]",
                "rnn.weight_ih_l1_reverse: missing, expected [20, 10]",
                "rnn.bias_ih_l1_reverse: missing, expected [20]",
                "rnn.bias_hh_l1_reverse: missing, expected [20]",
            ],
        ),
        // A bias in one layer.
        (
            &with(plain.clone(), |it| it.bias = false),
            None,
            &["rnn.bias_hh_l1: 20"],
            &[
                "rnn.bias_ih_l0: missing, expected [20]",
                "rnn.bias_hh_l0: missing, expected [20]",
                "rnn.bias_ih_l1: missing, expected [20]",
            ],
        ),
        // A projection in one layer; the other's H cannot be known then.
        (
            &plain,
            None,
            &["rnn.weight_hr_l1: 2, 5"],
            &[
                "rnn.weight_hr_l0: missing",
                "rnn.weight_ih_l1: expected [20, 2], got [20, 5]",
                "rnn.weight_hh_l1: expected [20, 2], got [20, 5]",
            ],
        ),
    ]);
}

#[test]
fn wrong_shapes_are_told_by_name() {
    let (gru, lstm, deep, cell, projected) = (gru(), lstm(), deep(), cell(), projected());
    check(&[
        // Shapes.
        (&gru, None, &["weight_ih_l0: 16, 1"], &["weight_ih_l0: expected [12, 1], got [16, 1]"]),
        (&gru, None, &["weight_ih_l0: 12"], &["weight_ih_l0: expected 2 dimensions, got [12]"]),
        (&gru, None, &["weight_hh_l0: 12, 4, 1"], &["weight_hh_l0: expected 2 dimensions, got [12, 4, 1]"]),
        (&gru, Some(CellKind::Gru), &["weight_hh_l0:"], &["weight_hh_l0: expected 2 dimensions, got []"]),
        (
            &gru,
            None,
            &["weight_hh_l0: 12", "bias_ih_l0: 1, 12"],
            &["weight_hh_l0: expected 2 dimensions, got [12]", "bias_ih_l0: expected 1 dimension, got [1, 12]"],
        ),
        (&gru, None, &["bias_ih_l0: 12, 1"], &["bias_ih_l0: expected [12], got [12, 1]"]),
        (&cell, None, &["bias_hh: 13"], &["bias_hh: expected [12], got [13]"]),
        (
            &deep,
            None,
            &["weight_ih_l1: 12, 5", "weight_ih_l3: 12, 8"],
            &["weight_ih_l1: expected [12, 4], got [12, 5]", "weight_ih_l3: expected [12, 4], got [12, 8]"],
        ),
        // Another H in one layer: this, and what the next one reads.
        (
            &deep,
            None,
            &["weight_hh_l1: 15, 5"],
            &[
                "weight_ih_l1: expected [15, 4], got [12, 4]",
                "bias_ih_l1: expected [15], got [12]",
                "bias_hh_l1: expected [15], got [12]",
                "weight_ih_l2: expected [12, 5], got [12, 4]",
            ],
        ),
        (
            &lstm,
            None,
            &[
                "rnn.weight_ih_l0_reverse: 20, 4",
                "rnn.weight_hh_l0_reverse: 20, 3",
                "rnn.weight_ih_l1: 20, 2",
                "rnn.weight_hr_l1_reverse: 3, 5",
            ],
            &[
                "rnn.weight_ih_l0_reverse: expected [20, 3], got [20, 4]",
                "rnn.weight_hh_l0_reverse: expected [20, 2], got [20, 3]",
                "rnn.weight_ih_l1: expected [20, 4], got [20, 2]",
                "rnn.weight_hr_l1_reverse: expected [2, 5], got [3, 5]",
            ],
        ),
        // Sizes of 0.
        (&gru, None, &["weight_hh_l0: 0, 0"], &["weight_hh_l0: expected hidden_size of at least 1, got [0, 0]"]),
        (&gru, None, &["weight_ih_l0: 12, 0"], &["weight_ih_l0: expected input_size of at least 1, got [12, 0]"]),
        (
            &projected,
            None,
            &["rnn.weight_hr_l0: 0, 5"],
            &["rnn.weight_hr_l0: expected proj_size of at least 1, got [0, 5]"],
        ),
    ]);
}

#[test]
fn projections_and_cells_that_do_not_fit_are_told_by_name() {
    let (gru, deep, projected) = (gru(), deep(), projected());
    check(&[
        // The projection.
        (
            &with(projected.clone(), |it| it.hidden_sizes = vec![2]),
            None,
            &[],
            &["rnn.weight_hr_l0: expected proj_size < hidden_size, got 2 and 2"],
        ),
        (
            &gru,
            None,
            &["weight_hh_l0: 12, 2", "weight_hr_l0: 2, 4"],
            &["weight_hr_l0: unused, only an lstm has a projection and this is of cell gru"],
        ),
        (
            &projected,
            None,
            &["rnn.weight_hh_l0: 21, 2"],
            &["rnn.weight_hh_l0: expected [20, 2] of cell lstm, got [21, 2]; say which cell it is"],
        ),
        // The cell.
        (
            &gru,
            None,
            &["weight_hh_l0: 8, 4"],
            &["weight_hh_l0: expected [4, 4] of cell rnn, [12, 4] of cell gru or [16, 4] of cell lstm, got [8, 4]; \
               say which cell it is"],
        ),
        (&gru, Some(CellKind::Gru), &["weight_hh_l0: 8, 4"], &["weight_hh_l0: expected [12, 4], got [8, 4]"]),
        (&gru, Some(CellKind::Lstm), &[], &["weight_hh_l0: expected [16, 4] of cell lstm, got [12, 4] of cell gru"]),
        (
            &gru,
            Some(CellKind::Rnn),
            &["bias_ih_l0: 11"],
            &[
                "weight_hh_l0: expected [4, 4] of cell rnn, got [12, 4] of cell gru",
                "bias_ih_l0: expected [12], got [11]",
            ],
        ),
        (
            &projected,
            Some(CellKind::Gru),
            &[],
            &["rnn.weight_hh_l0: expected [15, 2] of cell gru, got [20, 2] of cell lstm"],
        ),
        // The first weight that is of any cell is what the others are held to.
        (
            &deep,
            None,
            &["weight_hh_l0: 8, 4", "weight_hh_l2: 16, 4"],
            &["weight_hh_l0: expected [12, 4], got [8, 4]", "weight_hh_l2: expected [12, 4], got [16, 4]"],
        ),
    ]);
}

#[test]
fn layers_and_names_that_there_are_not_are_told() {
    let (gru, deep, cell) = (gru(), deep(), cell());
    check(&[
        // Layers by number.
        (
            &deep,
            None,
            &["weight_ih_l2", "weight_hh_l2", "bias_ih_l2", "bias_hh_l2"],
            &["weight_ih_l3: expected layer 2 next, as none is left out, got layer 3"],
        ),
        (
            &gru,
            None,
            &["bias_hh_l18446744073709551615: 12"],
            &[
                "bias_hh_l18446744073709551615: expected layer 1 next, as none is left out, \
                 got layer 18446744073709551615",
                "weight_ih_l18446744073709551615: missing",
                "weight_hh_l18446744073709551615: missing",
                "bias_ih_l18446744073709551615: missing",
            ],
        ),
        (
            &gru,
            None,
            &["weight_ih_l99999999999999999999: 12, 4", "bias_hh_l99999999999999999999: 12"],
            &["bias_hh_l99999999999999999999: expected layer 1 next, as none is left out, \
               got layer 99999999999999999999"],
        ),
        // What no layer has.
        (
            &gru,
            None,
            &[
                "h_0: 4",
                "weight_ih: 12, 1",
                "weight_ih_l: 12, 1",
                "weight_ih_l00: 12, 1",
                "weight_ih_l+1: 12, 1",
                "weight_ih_l0_reversed: 12, 1",
                "weight_ih_l0_reverse_reverse: 12, 1",
                "bias_hr_l0: 12",
                "Weight_ih_l0: 12, 1",
                "weight_ih_l0\n: 12, 1",
            ],
            &[
                "Weight_ih_l0: unused, no recurrent layer has it",
                "bias_hr_l0: unused, no recurrent layer has it",
                "h_0: unused, no recurrent layer has it",
                "weight_ih: unused, no recurrent layer has it",
                "weight_ih_l: unused, no recurrent layer has it",
                "weight_ih_l+1: unused, no recurrent layer has it",
                r"weight_ih_l0\n: unused, no recurrent layer has it",
                "weight_ih_l00: unused, no recurrent layer has it",
                "weight_ih_l0_reverse_reverse: unused, no recurrent layer has it",
                "weight_ih_l0_reversed: unused, no recurrent layer has it",
            ],
        ),
        (
            &cell,
            None,
            &["weight_hr: 2, 4", "weight_hh_reverse: 12, 4"],
            &["weight_hh_reverse: unused, no recurrent layer has it", "weight_hr: unused, no recurrent layer has it"],
        ),
    ]);
}

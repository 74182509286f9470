//! A case through a layer: forward twice, in inference and in training, and backward.

use super::{Case, Outcome};
use crate::compare::assert_same_bits;
use elman::internals::{BackwardPass, Cell, ForwardPass, Kernels, Layer, LayerGradients, Plan, Scratch, Tape, Write};
use elman::tensor::{Mask, PackedSequence, Seq, SeqMut, SeqRef};

impl Case {
    /// Forward and backward on a tier, by a schedule, in a scratch that may have seen other work.
    pub(crate) fn run(&self, kernels: &'static Kernels, plan: &Plan, scratch: &mut Scratch) -> Outcome {
        self.run_writing(Write::Add, kernels, plan, scratch)
    }

    /// The same with the parameters' gradients added to zeros, or written over NaN.
    pub(crate) fn run_writing(
        &self,
        write: Write,
        kernels: &'static Kernels,
        plan: &Plan,
        scratch: &mut Scratch,
    ) -> Outcome {
        let (layer, operands) = (self.layer(kernels), Operands::of(self));
        let mut forward = operands.forward(&layer, plan, scratch);
        let backward = operands.backward(write, &layer, plan, &mut forward, scratch);
        operands.outcome(forward, backward)
    }
}

/// A sequence as a layer takes it: padded, or packed where the rows of the case differ in length.
enum Rows {
    Padded(Seq),
    Packed(PackedSequence),
}

impl Rows {
    /// Of values (T, B, width).
    fn of(case: &Case, values: &[f32], width: usize) -> Self {
        let padded = Seq::from_slice(values, case.steps, case.batch, width).unwrap();
        match &case.lengths {
            Some(lengths) => Self::Packed(PackedSequence::from_padded(padded.view(), lengths).unwrap()),
            None => Self::Padded(padded),
        }
    }

    /// NaN of that width for the same rows.
    fn unwritten(&self, width: usize) -> Self {
        let mut rows = match self {
            Self::Padded(x) => Self::Padded(Seq::zeros(x.shape()[0], x.shape()[1], width).unwrap()),
            Self::Packed(x) => Self::Packed(x.zeros_like(width).unwrap()),
        };
        rows.data_mut().fill(f32::NAN);
        rows
    }

    fn view(&self) -> SeqRef<'_> {
        match self {
            Self::Padded(x) => x.view(),
            Self::Packed(x) => x.view().seq(),
        }
    }

    fn view_mut(&mut self) -> SeqMut<'_> {
        match self {
            Self::Padded(x) => x.view_mut(),
            Self::Packed(x) => x.seq_mut(),
        }
    }

    fn data(&self) -> &[f32] {
        match self {
            Self::Padded(x) => x.data(),
            Self::Packed(x) => x.data(),
        }
    }

    fn data_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Padded(x) => x.data_mut(),
            Self::Packed(x) => x.data_mut(),
        }
    }

    /// Values of that width for the same rows, (T, B, width) with `steps` for T.
    fn padded(&self, values: &[f32], width: usize, steps: usize) -> Vec<f32> {
        match self {
            Self::Padded(_) => values.to_vec(),
            Self::Packed(x) => x.view().like(values, width).unwrap().to_padded(steps).unwrap().data().to_vec(),
        }
    }

    /// Which row of the batch lies at each place of a step.
    fn order(&self) -> Vec<usize> {
        match self {
            Self::Padded(x) => (0..x.shape()[1]).collect(),
            Self::Packed(x) => x.sorted_indices().to_vec(),
        }
    }
}

/// What a layer reads, its rows and states in the order that the layer takes them in.
struct Operands<'a> {
    case: &'a Case,
    order: Vec<usize>,
    x: Rows,
    d_y: Rows,
    resets: Option<Vec<bool>>,
    h_0: Option<Seq>,
    c_0: Option<Seq>,
    d_h_n: Option<Seq>,
    d_c_n: Option<Seq>,
}

/// What the forward pass leaves.
struct Forward {
    y: Rows,
    h_n: Vec<f32>,
    /// Empty but for an LSTM.
    c_n: Vec<f32>,
    /// Of training.
    tape: Option<Tape>,
}

/// What the backward pass gives.
struct Backward {
    d_x: Vec<f32>,
    d_h_0: Vec<f32>,
    /// Empty but for an LSTM.
    d_c_0: Vec<f32>,
    d_weight_ih: Vec<f32>,
    d_weight_hh: Vec<f32>,
    d_bias: Option<[Vec<f32>; 2]>,
    d_weight_hr: Option<Vec<f32>>,
}

impl<'a> Operands<'a> {
    fn of(case: &'a Case) -> Self {
        let (output, hidden) = (case.sizes.output(), case.sizes.hidden);
        let x = Rows::of(case, &case.x, case.sizes.input);
        let order = x.order();
        let state = |values: &Option<Vec<f32>>, width: usize| {
            let rows =
                |values: &Vec<f32>| order.iter().flat_map(|row| values[row * width..][..width].to_vec()).collect();
            let sorted: Option<Vec<f32>> = values.as_ref().map(rows);
            sorted.map(|sorted| Seq::from_slice(&sorted, 1, case.batch, width).unwrap())
        };
        let [h_0, d_h_n] = [&case.h_0, &case.d_h_n].map(|values| state(values, output));
        let [c_0, d_c_n] = [&case.c_0, &case.d_c_n].map(|values| state(values, hidden));
        let resets = case.resets.as_ref().map(|resets| {
            let numbers: Vec<_> = resets.iter().map(|&reset| f32::from(u8::from(reset))).collect();
            Rows::of(case, &numbers, 1).data().iter().map(|&number| number != 0.0).collect()
        });
        let d_y = Rows::of(case, &case.d_y, output);
        Self { case, order, x, d_y, resets, h_0, c_0, d_h_n, d_c_n }
    }

    fn is_lstm(&self) -> bool {
        self.case.sizes.cell == Cell::Lstm
    }

    fn resets(&self) -> Option<Mask<'_>> {
        self.resets.as_ref().map(|resets| Mask::of(self.x.view(), resets).unwrap())
    }

    /// h and c for every row of the batch, not written yet.
    fn unwritten_state(&self) -> [Vec<f32>; 2] {
        let Case { batch, sizes, .. } = *self.case;
        [sizes.output(), if self.is_lstm() { sizes.hidden } else { 0 }].map(|width| vec![f32::NAN; batch * width])
    }

    /// Inference, which may go another way, by workers that share units; and training, which must give the same bits.
    fn forward(&self, layer: &Layer, plan: &Plan, scratch: &mut Scratch) -> Forward {
        let inferred = self.forward_once(layer, plan, None, scratch);
        let trained = self.forward_once(layer, plan, Some(Tape::default()), scratch);
        assert_same_bits(inferred.y.data(), trained.y.data(), "y in inference and in training");
        assert_same_bits(&inferred.h_n, &trained.h_n, "h_n in inference and in training");
        assert_same_bits(&inferred.c_n, &trained.c_n, "c_n in inference and in training");
        trained
    }

    /// Training where there is a tape.
    fn forward_once(&self, layer: &Layer, plan: &Plan, mut tape: Option<Tape>, scratch: &mut Scratch) -> Forward {
        let mut y = self.x.unwritten(self.case.sizes.output());
        let [mut h_n, mut c_n] = self.unwritten_state();
        let pass = ForwardPass {
            x: self.x.view(),
            h_0: self.h_0.as_ref().map(Seq::view),
            c_0: self.c_0.as_ref().map(Seq::view),
            resets: self.resets(),
            y: y.view_mut(),
            h_n: Some(&mut h_n),
            c_n: self.is_lstm().then_some(&mut c_n[..]),
            tape: tape.as_mut(),
        };
        layer.forward(plan, pass, scratch).unwrap();
        Forward { y, h_n, c_n, tape }
    }

    fn backward(
        &self,
        write: Write,
        layer: &Layer,
        plan: &Plan,
        forward: &mut Forward,
        scratch: &mut Scratch,
    ) -> Backward {
        let Case { weight_ih, weight_hh, bias, weight_hr, .. } = self.case;
        let before = if write == Write::Add { 0.0 } else { f32::NAN };
        let like = |weight: &Vec<f32>| vec![before; weight.len()];
        let [mut d_h_0, mut d_c_0] = self.unwritten_state();
        let mut d_x = self.x.unwritten(self.case.sizes.input).data().to_vec();
        let (mut d_weight_ih, mut d_weight_hh) = (like(weight_ih), like(weight_hh));
        let mut d_bias = bias.as_ref().map(|bias| bias.each_ref().map(like));
        let mut d_weight_hr = weight_hr.as_ref().map(like);
        let pass = BackwardPass {
            weights: self.case.weights(),
            x: self.x.view(),
            h_0: self.h_0.as_ref().map(Seq::view),
            c_0: self.c_0.as_ref().map(Seq::view),
            resets: self.resets(),
            y: forward.y.view(),
            tape: forward.tape.as_mut().expect("training has filled it"),
            d_y: self.d_y.view(),
            d_h_n: self.d_h_n.as_ref().map(Seq::view),
            d_c_n: self.d_c_n.as_ref().map(Seq::view),
            gradients: LayerGradients {
                write,
                d_weight_ih: &mut d_weight_ih,
                d_weight_hh: &mut d_weight_hh,
                d_bias: d_bias.as_mut().map(|[ih, hh]| [&mut ih[..], &mut hh[..]]),
                d_weight_hr: d_weight_hr.as_deref_mut(),
            },
            d_x: Some((&mut d_x, Write::Over)),
            d_h_0: Some(&mut d_h_0),
            d_c_0: self.is_lstm().then_some(&mut d_c_0[..]),
        };
        layer.backward(plan, pass, scratch).unwrap();
        Backward { d_x, d_h_0, d_c_0, d_weight_ih, d_weight_hh, d_bias, d_weight_hr }
    }

    /// All of it padded, and in the order of the batch.
    fn outcome(&self, forward: Forward, backward: Backward) -> Outcome {
        let Case { steps, sizes, .. } = *self.case;
        let (output, hidden) = (sizes.output(), sizes.hidden);
        let unsort = |values: &[f32], width: usize| -> Vec<f32> {
            let mut out = vec![0.0; values.len()];
            for (values, row) in values.chunks_exact(width).zip(&self.order) {
                out[row * width..][..width].copy_from_slice(values);
            }
            out
        };
        let Forward { y, h_n, c_n, .. } = forward;
        let Backward { d_x, d_h_0, d_c_0, d_weight_ih, d_weight_hh, d_bias, d_weight_hr } = backward;
        let mut all = vec![
            ("y", y.padded(y.data(), output, steps)),
            ("h_n", unsort(&h_n, output)),
            ("d_x", self.x.padded(&d_x, sizes.input, steps)),
            ("d_h_0", unsort(&d_h_0, output)),
            ("d_weight_ih", d_weight_ih),
            ("d_weight_hh", d_weight_hh),
        ];
        if self.is_lstm() {
            all.extend([("c_n", unsort(&c_n, hidden)), ("d_c_0", unsort(&d_c_0, hidden))]);
        }
        if let Some([ih, hh]) = d_bias {
            all.extend([("d_bias_ih", ih), ("d_bias_hh", hh)]);
        }
        all.extend(d_weight_hr.map(|d| ("d_weight_hr", d)));
        Outcome(all)
    }
}

//! How far back in time a gradient reaches.

mod cut;

use std::fmt;

use cut::{Cut, bare, check};

use super::TrainingState;
use crate::error::{Error, Result};
use crate::loss::{Loss, Prediction};
use crate::model::{Model, Upstream, Workspace};
use crate::network::{Input, State};
use crate::parallel::Threads;
use crate::tensor::SeqMut;

/// The norm of a loss's gradient with respect to the state between every two steps, of every recurrent layer: whether
/// what happens at a step can be learned from what came long before.
///
/// With T steps there are T norms a layer: that of h_t, the state after t steps, which step t (counted from 0) begins in.
/// The first is that of h_0, the last that of the state before the last step. A norm is the root of the sum of squares over
/// the batch and the layer's units, of the sum over all steps from t on: the gradient that backpropagation through time
/// carries across that border. What h_t does at its own step, below a layer above or as the output, is not in it.
///
/// A loss on every step has a gradient at every border, also where nothing passes over more than one. To see how far back
/// one reaches, take a loss on the last step:
///
/// ```
/// use elman::loss::{MeanSquaredError, Steps};
/// use elman::tensor::Seq;
/// use elman::train::{GradientFlow, Verdict};
/// use elman::{Rng, Rnn};
///
/// // As PyTorch draws it, a tanh RNN forgets in a few dozen steps.
/// let model = Rnn::builder(1, 16).linear("fc", 1).model(&mut Rng::new(1))?;
/// let x = Seq::from_slice(&[0.5; 100], 100, 1, 1)?;
/// let target = Seq::from_slice(&[1.0], 1, 1, 1)?;
/// let flow = GradientFlow::of(&model, &x, &mut MeanSquaredError::new(&target).at(Steps::Last))?;
/// assert_eq!(flow.norms()[0].len(), 100);
/// assert!(matches!(flow.verdict(), Verdict::Vanishing { after } if after < 60));
/// println!("{flow}"); // layer 0: the gradient vanishes: below 0.000001 of the last step's after 29 steps back
/// # Ok::<(), elman::Error>(())
/// ```
///
/// It is the whole gradient and not a truncated one: the model runs one step at a time, each from the state of the one before
/// in the bits of the whole sequence, and each step's backward pass begins with what the one after it gave. Only how sums are
/// rounded is not that of one call. It runs without dropout, as in inference; on the calling thread; over every step three
/// times forward and twice back. Beside what a step of training takes it keeps a state for each step.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientFlow {
    loss: f32,
    /// By layer and step.
    norms: Vec<Vec<f32>>,
    /// The same of c; empty where a layer has none.
    cell_norms: Vec<Vec<f32>>,
}

/// What a layer's gradients do on their way back, by [`GradientFlow::verdict`].
///
/// ```
/// use elman::train::Verdict;
///
/// let verdict = Verdict::Vanishing { after: 34 };
/// assert_eq!(verdict.to_string(), "the gradient vanishes: below 0.000001 of the last step's after 34 steps back");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The norm falls below 10⁻⁶ of the last one: in a sum of both, f32 keeps 4 bits of it.
    Vanishing {
        /// Steps back from the last border that has a gradient to the first one of which that is so.
        after: usize,
    },
    /// The norm grows beyond 10³ times the last one, or is infinite or NaN.
    Exploding {
        /// Steps back from the last border that has a gradient to the first one of which that is so.
        after: usize,
    },
    /// Neither, as far back as the sequence goes.
    Steady,
    /// There is no gradient at any border: the loss does not depend on the state.
    Absent,
}

/// Below this share of the last norm a gradient has vanished: a sum of both in f32, which keeps 24 bits, has 4 bits of it.
const VANISHED: f64 = 1e-6;
/// Beyond this multiple of the last norm a gradient has exploded: clipping to the usual norm of 1 leaves the last steps a
/// thousandth of what they asked for.
const EXPLODED: f64 = 1e3;

impl Verdict {
    /// By norms from the first border to the last.
    fn of(norms: impl DoubleEndedIterator<Item = f64>) -> Self {
        // NaN is not 0 either.
        let mut back = norms.rev().skip_while(|&norm| norm == 0.0).enumerate().peekable();
        let Some(&(_, last)) = back.peek() else { return Self::Absent };
        for (after, norm) in back {
            if !norm.is_finite() || norm > EXPLODED * last {
                return Self::Exploding { after };
            }
            if norm < VANISHED * last {
                return Self::Vanishing { after };
            }
        }
        Self::Steady
    }

    /// What comes first where layers differ: what explodes, what vanishes, and of those the one of fewer steps.
    fn rank(self) -> (u8, usize) {
        match self {
            Self::Exploding { after } => (0, after),
            Self::Vanishing { after } => (1, after),
            Self::Absent => (2, 0),
            Self::Steady => (3, 0),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = |n: usize| if n == 1 { "1 step".to_string() } else { format!("{n} steps") };
        match *self {
            Self::Vanishing { after } => {
                write!(f, "the gradient vanishes: below {VANISHED} of the last step's after {} back", times(after))
            }
            Self::Exploding { after } => {
                write!(f, "the gradient explodes: above {EXPLODED} times the last step's after {} back", times(after))
            }
            Self::Steady => write!(f, "the gradient is steady: within {VANISHED} and {EXPLODED} times the last step's"),
            Self::Absent => f.write_str("no gradient: the loss does not depend on the state of an earlier step"),
        }
    }
}

impl GradientFlow {
    /// Of a model over a batch, from states of zeros or the model's own: padded, a single sequence, or indices, with
    /// [resets](Input::resets) or without.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a model with a reverse direction, or with a read-out
    /// other than [`EveryStep`](crate::Readout::EveryStep) and [`Last`](crate::Readout::Last), and for a packed batch;
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a batch without steps, or a model without recurrent layers; else as
    /// [`Model::forward`] and what `loss` gives.
    pub fn of<'a>(model: &Model, input: impl Into<Input<'a>>, loss: &mut (impl Loss + ?Sized)) -> Result<Self> {
        let input = input.into();
        let begun = Begun::new(model, &input)?;
        let batch_first = model.spec().batch_first;
        let mut capture = Capture { loss, rows: Vec::new(), shape: [0; 3] };
        let model = begun.bare.as_ref().unwrap_or(model);
        let (loss, _) = model.forward(input, &mut TrainingState::new(0))?.learn(&mut capture)?;
        let d_output = match begun.leaves_last {
            true => begun.cut.of_one_step(capture.rows, capture.shape[2]),
            false => begun.cut.like(capture.rows, capture.shape[2], batch_first),
        };
        begun.go_back(model, &d_output, None, loss)
    }

    /// Of gradients that are known, where the model is a part of a larger one: that of its output, in the form of the output
    /// itself, and that of its last state, where something looks at it. There is no loss: [`loss`](Self::loss) is NaN.
    ///
    /// ```
    /// use elman::tensor::Seq;
    /// use elman::train::GradientFlow;
    /// use elman::{Gru, Rng};
    ///
    /// // What a decoder asks of the state that an encoder leaves, here 1 of each unit, and nothing of its outputs.
    /// let encoder = Gru::builder(2, 3).model(&mut Rng::new(1))?;
    /// let (x, d_output) = (Seq::zeros(4, 1, 2)?, Seq::zeros(4, 1, 3)?);
    /// let mut d_last = encoder.zero_state(1)?;
    /// d_last.h_mut().fill(1.0);
    /// let flow = GradientFlow::of_gradients(&encoder, &x, &d_output, Some(&d_last))?;
    /// assert!(flow.norms()[0].is_sorted()); // it is less with every step back
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// As of [`of`](Self::of); [`ErrorKind::Value`](crate::ErrorKind::Value) for a `d_output` of more or fewer steps than the
    /// output has, and as of [`Run::backward`](crate::Run::backward) for one or a `d_last` of another shape.
    pub fn of_gradients<'a, 'd>(
        model: &Model,
        input: impl Into<Input<'a>>,
        d_output: impl Into<Input<'d>>,
        d_last: Option<&State>,
    ) -> Result<Self> {
        let begun = Begun::new(model, &input.into())?;
        let d_output = Cut::new(&d_output.into(), model.spec().batch_first)?;
        let expected = if begun.leaves_last { 1 } else { begun.cut.steps() };
        if d_output.steps() != expected {
            return Err(Error::value("d_output", &format!("{expected} steps, as the output has"), d_output.steps()));
        }
        let model = begun.bare.as_ref().unwrap_or(model);
        begun.go_back(model, &d_output, d_last, f32::NAN)
    }

    fn record(&mut self, d_state: &State) {
        let norm = |part: crate::tensor::SeqRef<'_>| {
            let norm = part.each_row().flatten().map(|&d| f64::from(d) * f64::from(d)).sum::<f64>().sqrt() as f32;
            // Denormal numbers that are halved round to themselves in the end: a plateau that is none of the gradient's.
            if norm < f32::MIN_POSITIVE { 0.0 } else { norm }
        };
        for (layer, (h, c)) in self.norms.iter_mut().zip(&mut self.cell_norms).enumerate() {
            h.extend(d_state.h_of(layer).map(norm));
            c.extend(d_state.c_of(layer).map(norm));
        }
    }

    /// The loss over the whole output; NaN of gradients that were given.
    #[must_use]
    pub fn loss(&self) -> f32 {
        self.loss
    }

    /// The norms of the gradients of h: for each recurrent layer, the first one first, one for each step, of the state it
    /// begins in. In the unit of the loss over that of h; 0 for what is below the normal numbers of f32, 1.2e-38.
    #[must_use]
    pub fn norms(&self) -> &[Vec<f32>] {
        &self.norms
    }

    /// The same of an LSTM's c; of other layers, no norms.
    #[must_use]
    pub fn cell_norms(&self) -> &[Vec<f32>] {
        &self.cell_norms
    }

    /// What the gradients of a layer do, by the norm over h and c together. `None` where there is no such layer.
    #[must_use]
    pub fn verdict_of(&self, layer: usize) -> Option<Verdict> {
        let (h, c) = (self.norms.get(layer)?, self.cell_norms.get(layer)?);
        let of_c = |t: usize| c.get(t).map_or(0.0, |&norm| f64::from(norm));
        let together = h.iter().enumerate().map(|(t, &norm)| f64::from(norm).hypot(of_c(t)));
        Some(Verdict::of(together))
    }

    /// The verdict that matters most: of a layer whose gradient explodes, else of one where it vanishes, and of those the
    /// one of fewest steps.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.worst().1
    }

    fn worst(&self) -> (usize, Verdict) {
        let all = (0..self.norms.len()).filter_map(|layer| Some((layer, self.verdict_of(layer)?)));
        all.min_by_key(|(_, verdict)| verdict.rank()).expect("a layer")
    }
}

impl fmt::Display for GradientFlow {
    /// The verdict in one sentence, with its layer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (layer, verdict) = self.worst();
        write!(f, "layer {layer}: {verdict}")
    }
}

/// A model and a batch that can be gone through step by step.
struct Begun {
    cut: Cut,
    /// The model without dropout, where it has some.
    bare: Option<Model>,
    /// Whether a read-out leaves one step.
    leaves_last: bool,
    layers: usize,
}

impl Begun {
    fn new(model: &Model, input: &Input<'_>) -> Result<Self> {
        let leaves_last = check(&model.spec().layers)?;
        let bare = bare(model, input)?;
        let layers = model.zero_state(1)?.h_shape()[0];
        if layers == 0 {
            return Err(Error::value("model", "one with recurrent layers", "none"));
        }
        Ok(Self { cut: Cut::new(input, model.spec().batch_first)?, bare, leaves_last, layers })
    }

    /// One step at a time, from the last to the first.
    fn go_back(&self, model: &Model, d_output: &Cut, d_last: Option<&State>, loss: f32) -> Result<GradientFlow> {
        let (cut, layers) = (&self.cut, self.layers);
        let mut flow = GradientFlow { loss, norms: vec![Vec::new(); layers], cell_norms: vec![Vec::new(); layers] };
        let (mut workspace, mut training) = (Workspace::default(), TrainingState::new(0));
        // The state that each step begins in; the first in the model's own.
        let mut states: Vec<State> = Vec::new();
        for t in 0..cut.steps() - 1 {
            let run = model.forward_with(cut.at(t)?, states.last(), &mut training, &mut workspace, Threads::one())?;
            let mut state = State::default();
            state.copy_from(run.state())?;
            states.push(state);
        }
        let mut d_state = d_last.cloned();
        for t in (0..cut.steps()).rev() {
            let first = t.checked_sub(1).map(|before| &states[before]);
            let run = model.forward_with(cut.at(t)?, first, &mut training, &mut workspace, Threads::one())?;
            // What a read-out leaves of the last step is the only one; a step before it has no gradient of an output.
            let here = d_output.steps() == cut.steps() || t + 1 == cut.steps();
            let mut upstream = match here {
                true => Upstream::output(d_output.at(t.min(d_output.steps() - 1))?),
                false => Upstream::default(),
            };
            if let Some(d_state) = &d_state {
                upstream = upstream.and_last_state(d_state);
            }
            let gradients = run.backward(upstream.want_state())?;
            let d_first = gradients.state().expect("it was asked for");
            flow.record(d_first);
            let mut kept = d_state.take().unwrap_or_default();
            kept.copy_from(d_first)?;
            d_state = Some(kept);
        }
        flow.norms.iter_mut().chain(&mut flow.cell_norms).for_each(|norms| norms.reverse());
        Ok(flow)
    }
}

/// A loss that keeps the gradient of the output.
struct Capture<'l, L: ?Sized> {
    loss: &'l mut L,
    /// Every row, one after the other.
    rows: Vec<f32>,
    shape: [usize; 3],
}

impl<L: Loss + ?Sized> Loss for Capture<'_, L> {
    fn evaluate(&mut self, prediction: Prediction<'_>, mut d_prediction: SeqMut<'_>) -> Result<f32> {
        let value = self.loss.evaluate(prediction, d_prediction.reborrow())?;
        self.shape = d_prediction.shape();
        let [steps, rows, width] = self.shape;
        crate::memory::reserve("d_output", &mut self.rows, steps * rows * width)?;
        for t in 0..steps {
            let step = d_prediction.step(t);
            (0..rows).for_each(|row| self.rows.extend_from_slice(step.read(row)));
        }
        Ok(value)
    }
}

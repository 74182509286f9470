//! What goes into a backward pass from above, and what comes out of it.

use crate::model::Workspace;
use crate::model::workspace::Memory;
use crate::network::{Form, Input, State};
use crate::params::Params;
use crate::tensor::SeqRef;

/// The gradients that reach a run from above, and those wanted beside the parameters'. What is not given is zero.
///
/// An encoder whose output is not read learns from the gradient of its decoder's first state alone:
///
/// ```
/// use elman::tensor::Seq;
/// use elman::train::TrainingState;
/// use elman::{Gru, Rng, Threads, Upstream, Workspace};
///
/// let mut rng = Rng::new(1);
/// let (encoder, decoder) = (Gru::builder(3, 8).model(&mut rng)?, Gru::builder(2, 8).model(&mut rng)?);
/// let (mut training, mut memory) = (TrainingState::new(1), [Workspace::default(), Workspace::default()]);
/// let [above, below] = &mut memory;
/// let (x, y) = (Seq::from_slice(&[0.5; 5 * 4 * 3], 5, 4, 3)?, Seq::zeros(6, 4, 2)?);
///
/// let encoded = encoder.forward_with(&x, None, &mut training, below, Threads::one())?;
/// let decoded = decoder.forward_with(&y, Some(encoded.state()), &mut training, above, Threads::one())?;
/// let d_output = Seq::from_slice(&[1.0; 6 * 4 * 8], 6, 4, 8)?; // what a loss gives for decoded.output()
/// let gradients = decoded.backward(Upstream::output(&d_output).want_state())?;
/// let d_state = gradients.state().expect("it was asked for");
/// let gradients = encoded.backward(Upstream::last_state(d_state))?;
/// assert!(gradients.parameters().data().iter().any(|&d| d != 0.0));
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Upstream<'a> {
    pub(super) d_output: Option<Input<'a>>,
    pub(super) d_state: Option<&'a State>,
    pub(super) input: bool,
    pub(super) state: bool,
}

impl<'a> Upstream<'a> {
    /// The gradient at the output, in the form of the output.
    #[must_use]
    pub fn output(d_output: impl Into<Input<'a>>) -> Self {
        Self { d_output: Some(d_output.into()), ..Self::default() }
    }

    /// The gradient at the last states, h_n and c_n, in the order of the batch: what a decoder's
    /// [`Gradients::state`] gives its encoder.
    #[must_use]
    pub fn last_state(d_state: &'a State) -> Self {
        Self::default().and_last_state(d_state)
    }

    /// The same with the gradient at the last states besides.
    #[must_use]
    pub fn and_last_state(self, d_state: &'a State) -> Self {
        Self { d_state: Some(d_state), ..self }
    }

    /// The same with the input's gradient wanted: [`Gradients::input`].
    #[must_use]
    pub fn want_input(self) -> Self {
        Self { input: true, ..self }
    }

    /// The same with the first state's gradient wanted: [`Gradients::state`].
    #[must_use]
    pub fn want_state(self) -> Self {
        Self { state: true, ..self }
    }
}

/// What a backward pass gives.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::train::TrainingState;
/// use elman::{Lstm, Rng, Upstream};
///
/// let model = Lstm::builder(3, 8).model(&mut Rng::new(1))?;
/// let x = Seq::zeros(5, 4, 3)?;
/// let run = model.forward(&x, &mut TrainingState::new(1))?;
/// let d_output = Seq::zeros(5, 4, 8)?; // what a loss gives for run.output()
/// let gradients = run.backward(Upstream::output(&d_output).want_state())?;
/// for (name, shape, d) in gradients.parameters().iter() {
///     assert_eq!(model.params().named(name)?.0, shape);
///     assert!(d.iter().all(|&d| d == 0.0));
/// }
/// assert_eq!(gradients.state().expect("it was asked for").c_shape(), [1, 4, 8]);
/// assert!(gradients.input().is_none()); // it was not
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Debug)]
pub struct Gradients<'w> {
    pub(super) memory: Memory<'w>,
    pub(super) width: usize,
    pub(super) input: bool,
    pub(super) state: bool,
}

impl Gradients<'_> {
    /// The gradients of the parameters, under their names.
    #[must_use]
    pub fn parameters(&self) -> &Params {
        self.memory.get().back.gradients.as_ref().expect("a backward pass has left them")
    }

    /// The same, to be clipped or scaled.
    pub fn parameters_mut(&mut self) -> &mut Params {
        self.memory.get_mut().back.gradients.as_mut().expect("a backward pass has left them")
    }

    /// The gradient of the input, in the form of the input (of a packed one, step t has the rows that are longer than t);
    /// `None` where it was not wanted.
    #[must_use]
    pub fn input(&self) -> Option<SeqRef<'_>> {
        let Workspace { batch, back, .. } = self.memory.get();
        self.input.then(|| match batch.form {
            Form::Packed => SeqRef::over(&back.d_x, batch.lines(), self.width),
            _ => batch.padded(&back.d_x, &back.turned, self.width),
        })
    }

    /// The gradient of the first states, h_0 and c_0; `None` where it was not wanted.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.state.then(|| &self.memory.get().back.d_first)
    }
}

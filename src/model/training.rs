//! A model in training: a run forward is a value that holds on to what it ran over, and the backward pass is a method of it.

use super::TrainingState;
use super::chain::{ChainBackward, Reads};
use super::workspace::{BackMemory, Last, Memory};
use super::{Model, Workspace};
use crate::error::{Error, Result, check_shape};
use crate::loss::{Loss, Prediction};
use crate::network::{Batch, Flow, Form, Input, Masks, Source, State, States, turn};
use crate::parallel::Threads;
use crate::params::Params;
use crate::tensor::{Lines, PackedRef, SeqMut, SeqRef};

/// A run forward in training. It borrows the model, the input and the state that it ran over, so none of them can be others
/// on the backward pass, and its memory, so that no other run overwrites what it kept.
///
/// ```
/// use elman::tensor::Seq;
/// use elman::train::TrainingState;
/// use elman::{Gru, Rng, Upstream};
///
/// let model = Gru::builder(3, 8).linear("fc", 2).model(&mut Rng::new(1))?;
/// let mut training = TrainingState::new(1);
/// let x = Seq::zeros(5, 4, 3)?;
/// let run = model.forward(&x, &mut training)?;
/// let d_output = Seq::zeros(5, 4, 2)?; // what a loss gives for run.output()
/// let gradients = run.backward(Upstream::output(&d_output).want_input())?;
/// assert_eq!(gradients.parameters().named("fc.weight")?.0, [2, 8]);
/// assert_eq!(gradients.input().expect("it was asked for").shape(), [5, 4, 3]);
/// # Ok::<(), elman::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a run is of use by its output and its backward pass"]
pub struct Run<'a, 'w> {
    model: &'a Model,
    input: Input<'a>,
    memory: Memory<'w>,
    state: Option<&'a State>,
    threads: Threads,
}

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
    d_output: Option<Input<'a>>,
    d_state: Option<&'a State>,
    input: bool,
    state: bool,
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
    memory: Memory<'w>,
    width: usize,
    input: bool,
    state: bool,
}

impl Model {
    /// Runs the model forward in training, from states of zeros or the model's own: keeps what the backward pass needs, and
    /// applies dropout. On the calling thread and in memory that it allocates; [`forward_with`](Self::forward_with) takes
    /// a state, memory that is there, and threads.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn forward<'a>(
        &'a self,
        input: impl Into<Input<'a>>,
        training: &mut TrainingState,
    ) -> Result<Run<'a, 'static>> {
        let mut memory = Memory::Own(Box::default());
        let input = input.into();
        self.train_forward(&input, None, training, memory.get_mut(), Threads::one())?;
        Ok(Run { model: self, input, memory, state: None, threads: Threads::one() })
    }

    /// Runs the model forward in training from `state`, from zeros or the model's own where it is not given. After the
    /// first step with a shape, further ones in the same workspace allocate nothing.
    ///
    /// # Errors
    /// As [`run_with`](Self::run_with).
    pub fn forward_with<'a, 'w>(
        &'a self,
        input: impl Into<Input<'a>>,
        state: Option<&'a State>,
        training: &mut TrainingState,
        workspace: &'w mut Workspace,
        threads: Threads,
    ) -> Result<Run<'a, 'w>> {
        let input = input.into();
        self.train_forward(&input, state, training, workspace, threads)?;
        Ok(Run { model: self, input, memory: Memory::Lent(workspace), state, threads })
    }

    fn train_forward(
        &self,
        input: &Input<'_>,
        state: Option<&State>,
        training: &mut TrainingState,
        workspace: &mut Workspace,
        threads: Threads,
    ) -> Result<()> {
        self.enter(input, state, workspace)?;
        let Workspace { batch, x, resets, stages, room, own, sorted, last_sorted, state: last, turned, .. } = workspace;
        let x = batch.time_major(input, x)?;
        self.chain.check_indices(x)?;
        let resets = input.resets.map(|mask| batch.resets(mask, resets)).transpose()?;
        let first = self.first_state(batch, state, own, sorted)?;
        let packed = batch.form == Form::Packed;
        let flow = Flow { lines: batch.lines(), order: batch.order(), resets, threads };
        let mut states = States { first, last: if packed { &mut *last_sorted } else { &mut *last }, base: 0 };
        let reads = Reads { params: &self.params, kernels: self.kernels };
        let masks = Masks { seed: training.seed(), step: training.step(), base: 0 };
        self.chain.train(flow, x, reads, &mut states, masks, (stages, room))?;
        if packed {
            last.unsort(last_sorted, &batch.order.sorted);
        }
        let one_step = self.chain.leaves_one_step();
        if batch.form == Form::BatchFirst && !one_step {
            let y = self.chain.output(stages, batch.lines()).expect("a model has layers");
            let y = y.flat().expect("a whole output");
            turn(y, [batch.steps, batch.batch, self.outputs], turned)?;
        }
        training.advance();
        workspace.last = Last { place: None, width: self.outputs, one_step, masks };
        Ok(())
    }
}

impl<'w> Run<'_, 'w> {
    /// The output of the last layer, as [`Output::values`](super::Output::values).
    #[must_use]
    pub fn output(&self) -> SeqRef<'_> {
        let workspace = self.memory.get();
        workspace.values(self.y(workspace))
    }

    /// The output packed in the order of the input; `None` where the input was not packed, or one step is left of each row.
    #[must_use]
    pub fn packed(&self) -> Option<PackedRef<'_>> {
        let workspace = self.memory.get();
        let Last { width, one_step, .. } = workspace.last;
        (workspace.batch.form == Form::Packed && !one_step).then(|| workspace.batch.packed(self.y(workspace), width))
    }

    /// The states after each row's last step, h_n and c_n of every recurrent layer, in the order of the batch.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.memory.get().state
    }

    fn y<'r>(&'r self, workspace: &'r Workspace) -> &'r [f32] {
        let lines = match workspace.last.one_step {
            true => Lines::dense(1, workspace.batch.batch),
            false => workspace.batch.lines(),
        };
        let y = self.model.chain.output(&workspace.stages, lines).expect("a model has layers");
        y.flat().expect("a whole output")
    }

    /// The loss, and from it back to the gradients of the parameters. A loss of one's own is a closure that reads the
    /// output, writes its gradient, both as [`output`](Self::output) is, and gives a number.
    ///
    /// ```
    /// use elman::tensor::{Seq, SeqMut, SeqRef};
    /// use elman::train::TrainingState;
    /// use elman::{Rng, Rnn};
    ///
    /// let model = Rnn::builder(1, 4).linear("fc", 1).model(&mut Rng::new(1))?;
    /// let x = Seq::zeros(5, 2, 1)?;
    /// let run = model.forward(&x, &mut TrainingState::new(1))?;
    /// // Half the sum of squares: its gradient is the output.
    /// let (loss, gradients) = run.learn(&mut |output: SeqRef<'_>, mut d_output: SeqMut<'_>| {
    ///     let mut sum = 0.0;
    ///     for t in 0..output.shape()[0] {
    ///         for row in 0..output.shape()[1] {
    ///             let y = output.step(t).row(row)[0];
    ///             sum += 0.5 * y * y;
    ///             d_output.step(t).row(row)[0] = y;
    ///         }
    ///     }
    ///     Ok(sum)
    /// })?;
    /// assert!(loss > 0.0 && gradients.parameters().data().iter().any(|&d| d != 0.0));
    /// # Ok::<(), elman::Error>(())
    /// ```
    ///
    /// # Errors
    /// What `loss` gives, and [`backward`](Self::backward)'s.
    pub fn learn(self, loss: &mut (impl Loss + ?Sized)) -> Result<(f32, Gradients<'w>)> {
        self.learn_with(loss, Upstream::default())
    }

    /// The same with what else reaches the run from above, and what else is wanted: `upstream` has no gradient of the
    /// output, which is the loss's.
    ///
    /// # Errors
    /// As [`learn`](Self::learn), and [`ErrorKind::State`](crate::ErrorKind::State) for a gradient of the output.
    pub fn learn_with(
        mut self,
        loss: &mut (impl Loss + ?Sized),
        upstream: Upstream<'_>,
    ) -> Result<(f32, Gradients<'w>)> {
        if upstream.d_output.is_some() {
            return Err(Error::state("d_output", "none, as the loss gives it", "one"));
        }
        let mut d_output = std::mem::take(&mut self.memory.get_mut().back.d_output);
        let y = self.output();
        let (lines, width) = (y.lines(), y.shape()[2]);
        d_output.try_resize("d_output", lines.end() * width)?;
        let prediction = match self.packed() {
            Some(packed) => Prediction::from(packed),
            None if self.model.spec.batch_first => Prediction::batch_first(y),
            None => Prediction::from(y),
        };
        let value = loss.evaluate(prediction, SeqMut::over(&mut d_output, lines, width));
        let result =
            value.and_then(|value| self.go_back(Some(OutputGradient::Rows(&d_output)), upstream).map(|()| value));
        self.memory.get_mut().back.d_output = d_output;
        Ok((result?, self.gradients(upstream)))
    }

    /// The backward pass: the gradients of the parameters, and what else `upstream` wants.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) naming `d_output`, `d_h_n` or `d_c_n`,
    /// [`ErrorKind::State`](crate::ErrorKind::State) for a `d_output` in another form than the output,
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for one of indices, and for one in another form than the one step that
    /// a read-out has left.
    pub fn backward(mut self, upstream: Upstream<'_>) -> Result<Gradients<'w>> {
        self.go_back(upstream.d_output.map(OutputGradient::Given), upstream)?;
        Ok(self.gradients(upstream))
    }

    fn gradients(self, upstream: Upstream<'_>) -> Gradients<'w> {
        let Upstream { input, state, .. } = upstream;
        Gradients { memory: self.memory, width: self.model.spec.inputs, input, state }
    }

    fn go_back(&mut self, d_output: Option<OutputGradient<'_>>, upstream: Upstream<'_>) -> Result<()> {
        let Self { model, input, memory, state, threads } = self;
        let Workspace { batch, x, resets, stages, room, own, sorted, last, back, .. } = memory.get_mut();
        let BackMemory {
            batch: d_batch, d_output_turned, gradients, d_x, turned, d_last, d_first_sorted, d_first, ..
        } = back;
        let (rows, packed, width) = (batch.batch, batch.form == Form::Packed, model.outputs);
        let sizes = || model.sizes.iter().copied();
        if let Some(d_state) = upstream.d_state {
            d_state.check(["d_h_n", "d_c_n"], sizes(), rows)?;
        }
        let out = if last.one_step { Lines::dense(1, rows) } else { batch.lines() };
        let d_y = match d_output {
            Some(OutputGradient::Given(input)) if last.one_step => {
                one_step(&input, [rows, width], model.spec.batch_first)?
            }
            Some(OutputGradient::Given(input)) => {
                Batch::check_numbers("d_output", &input, width)?;
                d_batch.enter("d_output", &input, model.spec.batch_first, width)?;
                batch.same("d_output", d_batch)?;
                batch.time_major(&input, d_output_turned)?
            }
            Some(OutputGradient::Rows(rows_of)) if batch.form == Form::BatchFirst && !last.one_step => {
                turn(rows_of, [rows, batch.steps, width], d_output_turned)?;
                SeqRef::over(d_output_turned, out, width)
            }
            Some(OutputGradient::Rows(rows_of)) => SeqRef::over(rows_of, out, width),
            None => {
                d_output_turned.try_resize("d_output", out.end() * width)?;
                d_output_turned.fill(0.0);
                SeqRef::over(d_output_turned, out, width)
            }
        };
        // The input as it ran: of one that was turned the copy is still there.
        let x = match input.source {
            Source::Padded(_) if batch.form == Form::BatchFirst => SeqRef::over(x, batch.lines(), model.spec.inputs),
            Source::Indices { .. } => SeqRef::over(x, batch.lines(), 1),
            _ => batch.time_major(input, x)?,
        };
        let resets = input.resets.map(|mask| batch.resets(mask, resets)).transpose()?;
        // What the model's own first states were is still there too.
        let given = state.or((!model.own.is_empty()).then_some(&*own));
        let first = if packed && given.is_some() { Some(&*sorted) } else { given };
        let d_last = model.in_order(batch, upstream.d_state, d_last)?;
        let wants_first = upstream.state || (state.is_none() && !model.own.is_empty());
        let to = if packed { &mut *d_first_sorted } else { &mut *d_first };
        to.shape_for(sizes(), rows)?;
        let gradients = match gradients {
            Some(gradients) if gradients.is_like(&model.params) => gradients,
            other => other.insert(model.params.try_zeros_like("gradients")?),
        };
        let args = ChainBackward {
            reads: Reads { params: &model.params, kernels: model.kernels },
            x,
            state: first,
            d_y,
            d_last,
            masks: last.masks,
            gradients,
            d_x: upstream.input.then_some(&mut *d_x),
            d_first: wants_first.then_some(&mut *to),
        };
        let flow = Flow { lines: batch.lines(), order: batch.order(), resets, threads: *threads };
        model.chain.back(flow, args, stages, room)?;
        if packed && wants_first {
            d_first.shape_for(sizes(), rows)?;
            d_first.unsort(d_first_sorted, &batch.order.sorted);
        }
        model.own_gradients(state.is_none().then_some(d_first), gradients);
        if upstream.input && batch.form == Form::BatchFirst {
            turn(d_x, [batch.steps, rows, model.spec.inputs], turned)?;
        }
        Ok(())
    }
}

/// Where the gradient of the output comes from.
enum OutputGradient<'a> {
    /// A caller, in the form of the output.
    Given(Input<'a>),
    /// A loss: the rows of the output, one after the other.
    Rows(&'a [f32]),
}

/// The gradient at the single step that a read-out has left: (1, B, F), or (B, 1, F) of a batch-first model.
fn one_step<'a>(input: &Input<'a>, [rows, width]: [usize; 2], batch_first: bool) -> Result<SeqRef<'a>> {
    let expected = if batch_first { [rows, 1, width] } else { [1, rows, width] };
    Batch::check_numbers("d_output", input, width)?;
    match input.source {
        Source::Padded(d_y) => {
            check_shape("d_output", &expected, &d_y.shape())?;
            match d_y.flat() {
                Some(flat) => Ok(SeqRef::over(flat, Lines::dense(1, rows), width)),
                None => Err(Error::value("d_output", "a whole sequence", "a part of one")),
            }
        }
        Source::Unbatched(d_y) => {
            check_shape("d_output", &[1, 1, width], &d_y.shape())?;
            Ok(d_y)
        }
        _ => Err(Error::value("d_output", "a padded sequence of one step, as the output is", "another form")),
    }
}

impl Model {
    /// The gradients of the first states that are parameters: sums over the rows, which have them in common. Zeros where a
    /// run began in others, and `d_first` is not given.
    fn own_gradients(&self, mut d_first: Option<&mut State>, gradients: &mut Params) {
        for part in &self.own {
            for id in [part.h_0].into_iter().chain(part.c_0) {
                gradients.tensor_mut(id).fill(0.0);
            }
            let Some(d_first) = &mut d_first else { continue };
            for index in 0..part.count {
                let (d_h, d_c) = d_first.of_mut(part.first + index);
                sum_rows(d_h, index, part.count, gradients.tensor_mut(part.h_0));
                if let (Some(c_0), Some(d_c)) = (part.c_0, d_c) {
                    sum_rows(d_c, index, part.count, gradients.tensor_mut(c_0));
                }
            }
        }
    }
}

/// Adds every row to row `index` of `count`.
fn sum_rows(rows: &[f32], index: usize, count: usize, to: &mut [f32]) {
    let width = to.len() / count;
    let to = &mut to[index * width..][..width];
    rows.chunks_exact(width.max(1)).for_each(|row| to.iter_mut().zip(row).for_each(|(to, x)| *to += x));
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

//! What a stream of one row and streams of several have in common.

use std::sync::Arc;

use crate::error::{Error, Result, at_least_one, elements};
use crate::kernel::step::block_of;
use crate::layer::Delay;
use crate::model::{Model, StepMemory};
use crate::network::State;
use crate::parallel::{HelperThreads, Helpers, OwnHelpers};
use crate::tensor::StepRows;

/// Rows that go through a model together, with the memory that every step of theirs works in.
#[derive(Clone, Debug)]
pub(super) struct Core {
    pub(super) model: Arc<Model>,
    memory: StepMemory,
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// Features of one step of all rows.
    step_inputs: usize,
    step_outputs: usize,
    /// How many indices the first layer knows; 0 where it takes features.
    vocabulary: usize,
    /// Where it does not, (rows): those of a step.
    indices: Vec<f32>,
    /// How many of its states a row goes on from: one, or all that are yet to come back where they are delayed.
    states: usize,
    /// Those that every row begins in.
    first: State,
    helpers: OwnHelpers,
}

impl Core {
    /// `rows` rows at a sample rate of `ratio` times the model's.
    pub(super) fn new(model: Arc<Model>, rows: usize, ratio: f64) -> Result<Self> {
        at_least_one("rows", rows)?;
        let delay = Delay::new(ratio)?;
        let states = delay.states();
        let (memory, first) = (model.step_memory(rows, delay)?, model.first_row_state(states)?);
        let (inputs, outputs) = (model.inputs(), model.outputs());
        let vocabulary = model.vocabulary().unwrap_or(0);
        let mut core = Self {
            memory,
            rows,
            inputs,
            outputs,
            step_inputs: elements("x", &[rows, inputs])?,
            step_outputs: elements("y", &[rows, outputs])?,
            vocabulary,
            indices: vec![0.0; if vocabulary > 0 { rows } else { 0 }],
            states,
            first,
            helpers: OwnHelpers::default(),
            model,
        };
        // Touches all of the memory, weights and code: the first step of the caller finds them there.
        core.run_zeros(2 * block_of(rows));
        core.reset();
        Ok(core)
    }

    pub(super) fn start(&mut self, helpers: &Helpers) -> Result<()> {
        at_least_one("helpers", helpers.count())?;
        let (jobs, slots) = self.memory.split(helpers.count())?;
        if jobs.is_empty() {
            let big =
                "a recurrent layer of at least 128 KiB, without a projection, with a block of units for each thread";
            return Err(Error::setting("helpers", big, "a model without one"));
        }
        self.helpers = OwnHelpers(Some(HelperThreads::start(helpers, jobs, slots)?));
        Ok(())
    }

    pub(super) fn helpers(&mut self) -> Option<&mut HelperThreads> {
        self.helpers.0.as_mut()
    }

    /// Parts that helpers have done, and those that they did not do in time.
    pub(super) fn helped_and_missed(&self) -> [u64; 2] {
        self.helpers.0.as_ref().map_or([0; 2], |helpers| [helpers.helped(), helpers.missed()])
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn prewarm(&mut self, steps: usize) {
        self.run_zeros(steps);
        self.memory.get(0, &mut self.first);
    }

    fn run_zeros(&mut self, steps: usize) {
        let zeros = vec![0.0; self.inputs];
        for _ in 0..steps {
            // The same zeros for every row.
            self.model.steps(1, StepRows { data: &zeros, pitch: 0 }, &mut self.memory, None);
        }
    }

    #[inline]
    pub(super) fn step(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        if x.len() != self.step_inputs {
            return Err(self.wrong_length("x", self.inputs, x.len()));
        }
        if y.len() != self.step_outputs {
            return Err(self.wrong_length("y", self.outputs, y.len()));
        }
        self.check_indices(x)?;
        self.run(1, x, y);
        Ok(())
    }

    /// The length of a step is another.
    #[cold]
    fn wrong_length(&self, name: &str, width: usize, got: usize) -> Error {
        Error::length(name, &[self.rows, width][usize::from(self.rows == 1)..], got)
    }

    pub(super) fn step_index(&mut self, indices: &[u32], y: &mut [f32]) -> Result<()> {
        if self.vocabulary == 0 {
            return Err(Error::setting("step_index", "a model whose first layer is an embedding", "another model"));
        }
        if indices.len() != self.rows {
            return Err(Error::length("indices", &[self.rows], indices.len()));
        }
        if let Some(index) = indices.iter().find(|&&index| index as usize >= self.vocabulary) {
            return Err(Error::value("index", &format!("0 to {}", self.vocabulary - 1), index));
        }
        if y.len() != self.step_outputs {
            return Err(self.wrong_length("y", self.outputs, y.len()));
        }
        let mut x = std::mem::take(&mut self.indices);
        x.iter_mut().zip(indices).for_each(|(x, &index)| *x = index as f32);
        self.run(1, &x, y);
        self.indices = x;
        Ok(())
    }

    pub(super) fn block(&mut self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let steps = x.len() / self.step_inputs;
        let shape = |width| [steps, self.rows, width];
        let one =
            |[steps, rows, width]: [usize; 3]| if rows == 1 { vec![steps, width] } else { vec![steps, rows, width] };
        if steps * self.step_inputs != x.len() {
            return Err(Error::length("x", &one(shape(self.inputs)), x.len()));
        }
        if y.len() != steps * self.step_outputs {
            return Err(Error::length("y", &one(shape(self.outputs)), y.len()));
        }
        self.check_indices(x)?;
        let steps = block_of(self.rows);
        for (x, y) in x.chunks(steps * self.step_inputs).zip(y.chunks_mut(steps * self.step_outputs)) {
            self.run(x.len() / self.step_inputs, x, y);
        }
        Ok(())
    }

    pub(super) fn reset(&mut self) {
        for row in 0..self.rows {
            self.memory.set(row, &self.first);
        }
    }

    pub(super) fn reset_row(&mut self, row: usize) -> Result<()> {
        self.check_row(row)?;
        self.memory.set(row, &self.first);
        Ok(())
    }

    pub(super) fn state(&self, row: usize) -> Result<State> {
        self.check_row(row)?;
        let mut state = self.model.zero_state(self.states)?;
        self.memory.get(row, &mut state);
        Ok(state)
    }

    pub(super) fn state_into(&self, row: usize, state: &mut State) -> Result<()> {
        self.check_row(row)?;
        self.model.check_row_state(state, self.states)?;
        self.memory.get(row, state);
        Ok(())
    }

    pub(super) fn set_state(&mut self, row: usize, state: &State) -> Result<()> {
        self.check_row(row)?;
        self.model.check_row_state(state, self.states)?;
        self.memory.set(row, state);
        Ok(())
    }

    fn check_row(&self, row: usize) -> Result<()> {
        if row < self.rows {
            return Ok(());
        }
        Err(Error::value("row", &format!("0 to {}", self.rows - 1), row))
    }

    #[inline]
    fn check_indices(&self, x: &[f32]) -> Result<()> {
        if self.vocabulary == 0 {
            return Ok(());
        }
        let wrong = |&&x: &&f32| !(x >= 0.0 && x < self.vocabulary as f32 && x.fract() == 0.0);
        match x.iter().find(wrong) {
            None => Ok(()),
            Some(x) => Err(Error::value("x", &format!("whole numbers from 0 to {}", self.vocabulary - 1), x)),
        }
    }

    /// At most [`block_of`] steps of the right lengths.
    #[inline]
    fn run(&mut self, steps: usize, x: &[f32], y: &mut [f32]) {
        let x = StepRows { data: x, pitch: self.inputs };
        let out = self.model.steps(steps, x, &mut self.memory, self.helpers.engaged());
        for (line, y) in y.chunks_exact_mut(self.outputs).enumerate() {
            match y {
                [y] => *y = out.data[line * out.pitch],
                y => y.copy_from_slice(out.step(line, y.len())),
            }
        }
    }
}

//! A model step by step over one row or several, in memory that was made before: what streams are made of.

use super::Model;
use super::chain::{Reads, StepMemory};
use crate::error::{Error, Result};
use crate::layer::Delay;
use crate::network::State;
use crate::parallel::HelperThreads;
use crate::tensor::StepRows;

impl Model {
    /// Memory for some rows.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what needs steps that are yet to come, [`Error::Stale`] where a guard was leaked,
    /// [`Error::Setting`] for a model of parts alone, [`Error::Memory`].
    pub(crate) fn step_memory(&self, rows: usize, delay: Delay) -> Result<StepMemory> {
        self.check_fresh("model")?;
        if self.spec.layers.is_empty() {
            return Err(Error::setting("model", "a part to run, as the model has no layers of its own", "none"));
        }
        self.chain.step_memory(rows, delay)
    }

    /// Runs `steps` steps, no more than the memory is made for, over the first of `x`, (steps, rows), with helpers that have
    /// been engaged. Gives the outputs.
    #[inline]
    pub(crate) fn steps<'a>(
        &self,
        steps: usize,
        x: StepRows<'a>,
        memory: &'a mut StepMemory,
        helpers: Option<&mut HelperThreads>,
    ) -> StepRows<'a> {
        let reads = Reads { params: &self.params, kernels: self.kernels };
        self.chain.steps(steps, x, reads, memory, helpers)
    }

    /// The state that one row begins in, zeros or the model's own, `states` times: a row of the result each.
    pub(crate) fn first_row_state(&self, states: usize) -> Result<State> {
        let mut state = self.zero_state(states)?;
        for own in &self.own {
            for k in 0..own.count {
                let (h, c) = state.of_mut(own.first + k);
                let fill = |to: &mut [f32], own: &[f32]| {
                    let width = to.len() / states;
                    to.chunks_exact_mut(width).for_each(|to| to.copy_from_slice(&own[k * width..][..width]));
                };
                fill(h, self.params.tensor(own.h_0));
                if let (Some(c), Some(c_0)) = (c, own.c_0) {
                    fill(c, self.params.tensor(c_0));
                }
            }
        }
        Ok(state)
    }

    /// That a state is one of this model for one row, `states` times.
    pub(crate) fn check_row_state(&self, state: &State, states: usize) -> Result<()> {
        state.check(["h_0", "c_0"], self.sizes.iter().copied(), states)
    }

    /// How many indices the first layer knows, where that is an embedding.
    pub(crate) fn vocabulary(&self) -> Option<usize> {
        self.chain.vocabulary()
    }
}

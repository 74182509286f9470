//! A model step by step over one row, in memory that was made before: what streams are made of.

use super::Model;
use super::chain::{Reads, StepMemory};
use crate::error::{Error, Result};
use crate::network::State;
use crate::tensor::StepRows;

impl Model {
    /// Memory for one row.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what needs steps that are yet to come, [`Error::Stale`] where a guard was leaked,
    /// [`Error::Setting`] for a model of parts alone, [`Error::Memory`].
    pub(crate) fn step_memory(&self) -> Result<StepMemory> {
        self.check_fresh("model")?;
        if self.spec.layers.is_empty() {
            return Err(Error::setting("model", "a part to run, as the model has no layers of its own", "none"));
        }
        self.chain.step_memory()
    }

    /// Runs `steps` steps, no more than the memory is made for, over the first rows of `x`. Gives the outputs.
    #[inline]
    pub(crate) fn steps<'a>(&self, steps: usize, x: StepRows<'a>, memory: &'a mut StepMemory) -> StepRows<'a> {
        let reads = Reads { params: &self.params, kernels: self.kernels };
        self.chain.steps(steps, x, reads, memory)
    }

    /// The state that one row begins in: zeros, or the model's own.
    pub(crate) fn first_row_state(&self) -> Result<State> {
        let mut state = self.zero_state(1)?;
        for own in &self.own {
            for k in 0..own.count {
                let (h, c) = state.of_mut(own.first + k);
                h.copy_from_slice(&self.params.tensor(own.h_0)[k * h.len()..][..h.len()]);
                if let (Some(c), Some(c_0)) = (c, own.c_0) {
                    c.copy_from_slice(&self.params.tensor(c_0)[k * c.len()..][..c.len()]);
                }
            }
        }
        Ok(state)
    }

    /// That a state is one of this model for one row.
    pub(crate) fn check_row_state(&self, state: &State) -> Result<()> {
        state.check(["h_0", "c_0"], self.sizes.iter().copied(), 1)
    }

    /// How many indices the first layer knows, where that is an embedding.
    pub(crate) fn vocabulary(&self) -> Option<usize> {
        self.chain.vocabulary()
    }
}

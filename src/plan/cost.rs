//! How long something takes, by part.

use std::fmt;
use std::ops::{Add, AddAssign, Mul};

use super::{Machine, fitted};

/// What is done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Forward.
    Infer,
    /// Forward, backward, a step of Adam, and packing the weights again.
    Train {
        /// Whether the gradient of the input is wanted: not of a first layer's.
        d_input: bool,
    },
}

/// Seconds, by part.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// The input part of every step: x·W_ihᵀ.
    pub input: f64,
    /// The recurrent part of every step: h·W_hhᵀ, and the output's projection.
    pub recurrence: f64,
    /// Gates and activations, and in training what is kept for the backward pass.
    pub cell: f64,
    /// Forks, joins, and what workers that own units show each other.
    pub sync: f64,
    /// d_z·W_hh step by step, with the cell's derivatives.
    pub backward: f64,
    /// d_W_ih, d_W_hh and d_b.
    pub weight_gradients: f64,
    /// The gradient of the input.
    pub d_input: f64,
    /// Loss, Adam, and packing the weights again.
    pub update: f64,
    /// Calls: whatever does not grow with the work.
    pub call: f64,
}

impl Cost {
    /// All of it, in seconds.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.parts().iter().map(|(_, seconds)| seconds).sum()
    }

    /// Every part with its name, in the order in which they are done.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, f64); 9] {
        [
            ("input", self.input),
            ("recurrence", self.recurrence),
            ("cell", self.cell),
            ("sync", self.sync),
            ("backward", self.backward),
            ("weight_gradients", self.weight_gradients),
            ("d_input", self.d_input),
            ("update", self.update),
            ("call", self.call),
        ]
    }
}

impl Add for Cost {
    type Output = Self;

    /// One after the other.
    fn add(self, other: Self) -> Self {
        Self {
            input: self.input + other.input,
            recurrence: self.recurrence + other.recurrence,
            cell: self.cell + other.cell,
            sync: self.sync + other.sync,
            backward: self.backward + other.backward,
            weight_gradients: self.weight_gradients + other.weight_gradients,
            d_input: self.d_input + other.d_input,
            update: self.update + other.update,
            call: self.call + other.call,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Cost {
    type Output = Self;

    /// So many times.
    fn mul(self, times: f64) -> Self {
        Self {
            input: self.input * times,
            recurrence: self.recurrence * times,
            cell: self.cell * times,
            sync: self.sync * times,
            backward: self.backward * times,
            weight_gradients: self.weight_gradients * times,
            d_input: self.d_input * times,
            update: self.update * times,
            call: self.call * times,
        }
    }
}

impl fmt::Display for Cost {
    /// `input 45 %, recurrence 46 %, …`, without what is nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let mut separator = "";
        for (name, seconds) in self.parts() {
            let percent = 100.0 * seconds / total;
            if percent >= 0.5 {
                write!(f, "{separator}{} {percent:.0} %", name.replace('_', " "))?;
                separator = ", ";
            }
        }
        Ok(())
    }
}

impl Cost {
    /// What the loss of so many outputs adds.
    pub fn with_loss(mut self, outputs: f64, machine: &Machine) -> Self {
        self.update += outputs * fitted::LOSS / machine.clock();
        self
    }
}

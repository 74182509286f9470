//! What simple methods come to, which a network has to beat: measured on the same rows, fitted to those of training alone.
//!
//! [`forecast`] has the last value, the value a season ago and linear autoregression; [`classify`] the commonest class,
//! naive Bayes and logistic regression over n-grams of words or characters; [`generate`] a language model of
//! n-grams of characters; [`transduce`] the commonest target of each source symbol.

pub mod classify;
pub mod forecast;
pub mod generate;
mod lbfgs;
pub(crate) mod linear;
pub mod logistic;
pub mod transduce;

//! candle with its own GEMM on rayon's threads: GRU and LSTM; it has no Elman RNN. Training is forward, MSE, backward
//! and AdamW without decay, which is Adam.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap, loss};
use peers::{Cell, Layer, Load, Mode, serve, threads, version};

type Forward = Box<dyn Fn(&Tensor) -> Result<Tensor>>;
type Run = Box<dyn FnMut() -> Tensor>;

/// From (batch, steps, input), candle's order, to (batch, steps, hidden) or, as its GRU has it, (batch, steps hidden).
fn network(load: &Load, weights: VarBuilder) -> Result<Forward> {
    fn forward(layer: impl RNN + 'static) -> Forward {
        Box::new(move |x| layer.states_to_tensor(&layer.seq(x)?))
    }
    Ok(match load.cell {
        Cell::Rnn => unreachable!("`prepare` has none"),
        Cell::Gru => forward(gru(load.input, load.hidden, GRUConfig::default(), weights)?),
        Cell::Lstm => forward(lstm(load.input, load.hidden, LSTMConfig::default(), weights)?),
    })
}

fn prepare(load: &Load) -> Option<Run> {
    if load.cell == Cell::Rnn {
        return None;
    }
    let (layer, cpu) = (Layer::new(load), Device::Cpu);
    let make = || -> Result<Run> {
        let rows = load.gates() * load.hidden;
        let weights = HashMap::from([
            ("weight_ih_l0".to_string(), Tensor::from_slice(&layer.w_ih, (rows, load.input), &cpu)?),
            ("weight_hh_l0".to_string(), Tensor::from_slice(&layer.w_hh, (rows, load.hidden), &cpu)?),
            ("bias_ih_l0".to_string(), Tensor::from_slice(&layer.b_ih, rows, &cpu)?),
            ("bias_hh_l0".to_string(), Tensor::from_slice(&layer.b_hh, rows, &cpu)?),
        ]);
        let x = Tensor::from_slice(&layer.x, (load.steps, load.batch, load.input), &cpu)?;
        let x = x.transpose(0, 1)?.contiguous()?;
        if load.mode == Mode::Infer {
            // Tensors that are no variables: nothing is recorded for a backward pass.
            let network = network(load, VarBuilder::from_tensors(weights, DType::F32, &cpu))?;
            return Ok(Box::new(move || network(&x).expect("a run")));
        }
        let mut variables = VarMap::new();
        let network = network(load, VarBuilder::from_varmap(&variables, DType::F32, &cpu))?;
        variables.set(weights.into_iter())?;
        let target = network(&x)?.zeros_like()?;
        let settings = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
        let mut optimizer = AdamW::new(variables.all_vars(), settings)?;
        let mut step = move || -> Result<Tensor> {
            let loss = loss::mse(&network(&x)?, &target)?;
            optimizer.backward_step(&loss)?;
            Ok(loss)
        };
        Ok(Box::new(move || step().expect("a step")))
    };
    Some(make().expect("a layer that candle has"))
}

fn main() {
    // candle reads its number of threads nowhere else.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", threads().to_string()) };
    serve(version("candle-nn"), prepare);
}

#[cfg(test)]
mod tests {
    use peers::assert_close;

    use super::*;

    #[test]
    fn computes_what_the_plain_loops_compute() {
        for cell in [Cell::Gru, Cell::Lstm] {
            assert_close(cell, |load| {
                let mut run = prepare(load).expect("a workload that candle has");
                [run(), run()].map(|y| {
                    let y = y.reshape((load.batch, load.steps, load.hidden)).and_then(|y| y.transpose(0, 1));
                    y.and_then(|y| y.flatten_all()?.to_vec1()).expect("f32")
                })
            });
        }
    }

    /// The first loss is that of the plain loops, and Adam makes it fall from step to step.
    #[test]
    fn trains() {
        for cell in [Cell::Gru, Cell::Lstm] {
            let load = Load { cell, mode: Mode::Train, input: 12, hidden: 20, batch: 3, steps: 7 };
            let y = Layer::new(&load).forward(&load);
            let expected = y.iter().map(|y| y * y).sum::<f32>() / y.len() as f32;
            let mut run = prepare(&load).expect("a workload that candle has");
            let losses: Vec<f32> = (0..50).map(|_| run().to_scalar().expect("f32")).collect();
            assert!((losses[0] - expected).abs() < 1e-6, "{} and {expected}", losses[0]);
            assert!(losses.is_sorted_by(|a, b| a > b) && losses[49] < 0.5 * losses[0], "{losses:?}");
        }
    }
}

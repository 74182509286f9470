//! tract, optimized, its products on a thread pool: inference only.
//!
//! From which size on it uses the threads is left to its defaults (`set_threading_panel_threshold` 64). On two cores, 8
//! instead of 64 was a quarter faster for an RNN of 256 units and 64 rows, and slower for an LSTM of 256 and one row.

use std::sync::Arc;

use peers::{Layer, Load, Mode, onnx, serve, threads, version};
use tract_linalg::multithread::Executor;
use tract_onnx::prelude::*;

fn prepare(load: &Load) -> Option<impl FnMut() -> Tensor + use<>> {
    if load.mode != Mode::Infer {
        return None;
    }
    let layer = Layer::new(load);
    let x = Tensor::from_shape(&[load.steps, load.batch, load.input], &layer.x).expect("an input");
    let x: Arc<Tensor> = x.into();
    let executor = if threads() > 1 { Executor::multithread(threads()) } else { Executor::SingleThread };
    let options = RunOptions { executor: Some(executor), ..RunOptions::default() };
    let model = tract_onnx::onnx()
        .model_for_read(&mut onnx::model(load, &layer).as_slice())
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable_with_options(&options))
        .expect("a model that tract runs");
    Some(move || {
        let mut outputs = model.run(tvec!(TValue::from_const(x.clone()))).expect("a run");
        outputs.remove(0).into_tensor()
    })
}

fn main() {
    serve(version("tract-onnx"), prepare);
}

#[cfg(test)]
mod tests {
    use peers::{Cell, assert_close};

    use super::*;

    #[test]
    fn computes_what_the_plain_loops_compute() {
        for cell in [Cell::Rnn, Cell::Gru, Cell::Lstm] {
            assert_close(cell, |load| {
                let mut run = prepare(load).expect("a workload that tract has");
                [run(), run()].map(|y| y.to_plain_array_view::<f32>().expect("f32").iter().copied().collect())
            });
        }
    }
}

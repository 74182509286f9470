//! rten, weights prepacked where it has that, on a thread pool: GRU and LSTM inference. It has no RNN operator.

use std::sync::Arc;

use peers::{Cell, Layer, Load, Mode, onnx, serve, threads, version};
use rten::{ModelOptions, RunOptions, ThreadPool, Value};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

fn prepare(load: &Load) -> Option<impl FnMut() -> Value + use<>> {
    if load.mode != Mode::Infer || load.cell == Cell::Rnn {
        return None;
    }
    let mut layer = Layer::new(load);
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let model = options.load(onnx::model(load, &layer)).expect("a model that rten loads");
    let pool = Arc::new(ThreadPool::with_num_threads(threads()));
    let options = RunOptions::default().with_thread_pool(Some(pool));
    let x = NdTensor::from_data([load.steps, load.batch, load.input], std::mem::take(&mut layer.x));
    let (input, output) = (model.input_ids()[0], model.output_ids()[0]);
    Some(move || {
        let run = model.run_n(vec![(input, x.view().into())], [output], Some(options.clone()));
        let [y] = run.expect("a run");
        y
    })
}

fn main() {
    serve(version("rten"), prepare);
}

#[cfg(test)]
mod tests {
    use peers::assert_close;

    use super::*;

    #[test]
    fn computes_what_the_plain_loops_compute() {
        for cell in [Cell::Gru, Cell::Lstm] {
            assert_close(cell, |load| {
                let mut run = prepare(load).expect("a workload that rten has");
                [run(), run()].map(|y| y.into_shape_vec::<f32, 4>().expect("f32 of four dimensions").1)
            });
        }
    }
}

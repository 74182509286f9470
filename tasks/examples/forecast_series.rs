//! Sequence to sequence: the next value of a chaotic series, from its last 24.
//!
//!     cargo run --release -p elman-tasks --example forecast_series

use std::path::Path;

use elman::Threads;
use elman_tasks::forecast::{Forecast, Forecaster, Settings};

fn main() -> elman_tasks::Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/series.csv");
    let mut settings = Settings::default();
    settings.data.time = Some("t".into());
    settings.fit = settings.fit.epochs(20);
    let task = Forecast::prepare(&data, settings)?; // windows, scales and an autoregression, of the training part alone
    let mut fit = task.fit(Threads::available())?;
    fit.run(&mut |_progress| true)?;
    let (model, _) = task.finish(fit.into_learner().into_model())?;

    let scores = &task.score(&model)?[0].scores; // of the last tenth
    for row in &scores.rows {
        println!("{:30} RMSE {:.4}", row.method, row.values[0].unwrap());
    }
    assert!(scores.winner().is_some_and(|row| row.is_network));

    let mut forecaster = Forecaster::new(model)?; // or `open`, of a model that was saved
    println!("after the end of the file: {:?}", forecaster.forecast("")?.expect("enough rows"));
    Ok(())
}

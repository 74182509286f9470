//! Sequence to vector: is this the name of a woman or of a man?
//!
//!     cargo run --release -p elman-tasks --example classify_names

use std::path::Path;

use elman::Threads;
use elman_tasks::classify::{Classifier, Classify, Settings};
use elman_tasks::split::Part;

fn main() -> elman_tasks::Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/names.tsv");
    let mut settings = Settings::characters();
    settings.fit = settings.fit.epochs(12);
    let task = Classify::prepare(&data, settings)?; // a vocabulary, and parts to train on, to validate and to test
    let mut fit = task.fit(Threads::available())?;
    fit.run(&mut |_progress| true)?;
    let model = fit.into_learner().into_model();

    let scores = task.score(&model, Part::Test)?;
    for row in &scores.rows {
        println!("{:30} {:.1} % right", row.method, row.values[0].unwrap());
    }
    assert!(scores.rows[0].is_network && scores.rows[0].values[0] > Some(82.0)); // 'female' for all of them: 80

    let classifier = Classifier::new(model)?; // or `open`, of a model that was saved
    for name in ["Theodora", "Bertrand"] {
        let (class, probability) = &classifier.predict(name)?[0];
        println!("{name}: {class}, {probability:.2}");
    }
    Ok(())
}

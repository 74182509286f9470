//! Vector to sequence: names that sound like those of women or of men.
//!
//!     cargo run --release -p elman-tasks --example write_names

use std::path::Path;

use elman::Threads;
use elman_tasks::generate::{Generate, Generator, Settings};
use elman_tasks::split::Part;

fn main() -> elman_tasks::Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/names.tsv");
    let mut settings = Settings::names();
    settings.net.hidden = 96;
    settings.fit = settings.fit.epochs(12);
    let task = Generate::prepare(&data, settings)?;
    let mut fit = task.fit(Threads::available())?;
    fit.run(&mut |_progress| true)?;
    let model = fit.into_learner().into_model();

    let scores = task.score(&model, Part::Test)?;
    for row in &scores.rows {
        println!("{:30} {:.3} bits a character", row.method, row.values[0].unwrap());
    }
    assert!(scores.rows[0].is_network && scores.rows[0].values[0] < Some(3.0)); // letters by their frequency: 4.5

    let mut generator = Generator::new(model)?; // or `open`, of a model that was saved
    for label in ["female", "male"] {
        let names = (1..=5).map(|seed| generator.sample(label, 0.85, seed));
        println!("{label}: {}", names.collect::<Result<Vec<_>, _>>()?.join(", "));
    }
    Ok(())
}

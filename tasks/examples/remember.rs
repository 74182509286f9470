//! What each kind of network remembers:
//!
//! ```sh
//! cargo run --release -p elman-tasks --example remember -- adding|copy STEPS MINIBATCHES [KIND…]
//! ```

use std::time::Instant;

use elman::Threads;
use elman_tasks::job::Job;
use elman_tasks::memory::{Kind, Memory};
use elman_tasks::{Error, Result};

fn main() {
    if let Err(error) = run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let [problem, steps, minibatches, kinds @ ..] = arguments else {
        return Err(Error::new("expected a problem, steps and minibatches, as this example's head has them"));
    };
    let all = ["rnn", "irnn", "gru", "lstm"].map(String::from);
    for kind in if kinds.is_empty() { &all } else { kinds } {
        let text = format!("problem = '{problem}'\nsteps = {steps}\nminibatches = {minibatches}\nkind = '{kind}'");
        let memory = Memory { every: 250, ..Memory::from_toml(&text)? };
        let begin = Instant::now();
        let outcome = memory.run(Threads::one(), &mut |_| true)?;
        let curve: Vec<String> = outcome.fresh.iter().map(|(_, loss)| format!("{loss:.4}")).collect();
        println!("{}: {:.0} s, {}", Kind::title(memory.kind), begin.elapsed().as_secs_f64(), curve.join(" "));
        println!("  solved after {:?}, diverged at {:?}", outcome.solved_after, outcome.diverged_at);
        println!("  untrained: {}\n  trained: {}", outcome.untrained.verdict, outcome.trained.verdict);
    }
    Ok(())
}

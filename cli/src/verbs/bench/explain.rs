//! `--explain`: the schedules of a workload and the time that they should take, on this machine or on another.

use std::io::{self, Write as _};

use elman::internals::Machine;
use elman_cli::measure::{Mode, Workload};

use super::args::Args;
use super::report::{Explained, Forecast, Parts, print};
use super::table::{duration, extra, workload, workload_head};
use crate::verbs::Failure;
use crate::verbs::common::count;

/// The schedules of a workload, and the time that they should take.
pub(super) fn explain(load: &Workload, machine: &Machine) -> Result<Explained, Failure> {
    let prediction = load.predict(machine)?;
    let mut plans = load.plans()?.into_iter().map(|(_, plan, _)| plan.to_string());
    Ok(Explained {
        plan: plans.next().unwrap_or_default(),
        plan_above: plans.next(),
        predicted_s: prediction.total(),
        predicted_parts_s: Parts(prediction),
    })
}

/// The lines that `--explain` adds to a row.
pub(super) fn explanation(load: &Workload, explained: &Explained, measured: Option<f64>) -> String {
    let Explained { plan, plan_above, predicted_s, predicted_parts_s: Parts(parts) } = explained;
    let mut text = match plan_above {
        None if load.layers == 1 => format!("         schedule: {plan}\n"),
        None => format!("         schedule of each layer: {plan}\n"),
        Some(above) => {
            let others = if load.layers == 2 { "layer 2".into() } else { format!("layers 2 to {}", load.layers) };
            format!("         schedule of layer 1: {plan}\n         of {others}: {above}\n")
        }
    };
    match measured {
        Some(measured) => {
            let (time, ratio) = (duration(*predicted_s), predicted_s / measured);
            text += &format!("         predicted {time}, {ratio:.2} of the measured: {parts}\n");
        }
        None => text += &format!("         of the time: {parts}\n"),
    }
    text
}

/// What would be on another machine, without running anything.
pub(super) fn forecast(args: &Args, workloads: &[Workload]) -> Result<(), Failure> {
    let known = Machine::default();
    let threads = args.threads().get();
    let machine = Machine { caches: args.caches.unwrap_or(known.caches), ..known };
    let predicted = workloads.iter().filter(|load| load.mode != Mode::Stream);
    for (i, load) in predicted.enumerate() {
        let explained = explain(load, &machine)?;
        if args.json {
            let speed = load.flop(load.predicted_tokens()) / explained.predicted_s;
            print(&Forecast::new(load, explained, machine.caches, speed, machine.fma * threads as f64))?;
            continue;
        }
        if i == 0 {
            header(load, &machine)?;
        }
        row(load, &machine, &explained)?;
        if args.explain {
            write!(io::stdout(), "{}", explanation(load, &explained, None))?;
        }
    }
    Ok(())
}

fn header(load: &Workload, machine: &Machine) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let [l1, l2, l3] = machine.caches.map(bytes);
    writeln!(
        out,
        "predicted, not measured: {} on up to {} of a machine of Zen 4 cores, {:.0} GFLOP/s each; L1d {l1}, L2 {l2}, L3 {l3}\n",
        load.kernels.isa(),
        count(load.threads.get() as u64, "thread"),
        machine.fma / 1e9,
    )?;
    writeln!(out, "{} | {:>10} | {:>8} {:>6} | {:>10}", workload_head(), "time", "GFLOP/s", "share", "a step")
}

fn row(load: &Workload, machine: &Machine, explained: &Explained) -> io::Result<()> {
    let (time, tokens) = (explained.predicted_s, load.predicted_tokens());
    let speed = load.flop(tokens) / time;
    writeln!(
        io::stdout(),
        "{} | {:>10} | {:>8.1} {:>4.0} % | {:>10}{}",
        workload(load),
        duration(time),
        speed / 1e9,
        100.0 * speed / (machine.fma * load.threads.get() as f64),
        duration(time / load.steps as f64),
        extra(load, tokens),
    )
}

/// `32 KiB`, `1 MiB`.
fn bytes(n: usize) -> String {
    match n {
        n if n.is_multiple_of(1 << 20) => format!("{} MiB", n >> 20),
        n if n.is_multiple_of(1 << 10) => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

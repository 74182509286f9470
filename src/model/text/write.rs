//! From a spec to its text.

use std::fmt::{self, Display, Formatter, Write as _};

use super::plain;
use crate::model::spec::{
    Activation, CellSpec, GruCellSpec, LayerKind, LayerSpec, LstmCellSpec, ModelSpec, Readout, RecurrentSpec, Reset,
    RnnCellSpec,
};

impl Display for ModelSpec {
    /// The text that [`str::parse`] makes the same spec of; it ends with a line's end.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "elman {}", self.version)?;
        body(f, self, 0)
    }
}

fn body(f: &mut Formatter<'_>, spec: &ModelSpec, depth: usize) -> fmt::Result {
    let batch_first = if spec.batch_first { " batch-first" } else { "" };
    writeln!(f, "{:1$}inputs {2}{batch_first}", "", 2 * depth, spec.inputs)?;
    layers(f, &spec.layers, depth)?;
    for (name, part) in &spec.parts {
        write!(f, "{:1$}part {2}", "", 2 * depth, Name(name))?;
        if part.version != spec.version {
            write!(f, " version={}", part.version)?;
        }
        writeln!(f, " {{")?;
        body(f, part, depth + 1)?;
        writeln!(f, "{:1$}}}", "", 2 * depth)?;
    }
    Ok(())
}

fn layers(f: &mut Formatter<'_>, specs: &[LayerSpec], depth: usize) -> fmt::Result {
    for layer in specs {
        write!(f, "{:1$}", "", 2 * depth)?;
        let name = |f: &mut Formatter<'_>, kind: &dyn Display| match &layer.name[..] {
            "" => write!(f, "{kind}"),
            name => write!(f, "{kind} {}", Name(name)),
        };
        match &layer.kind {
            LayerKind::Embedding { vocabulary, width } => {
                name(f, &"embedding")?;
                write!(f, " vocabulary={vocabulary} width={width}")?;
            }
            LayerKind::Recurrent(spec) => {
                name(f, &cell_name(&spec.cell))?;
                recurrent(f, spec)?;
            }
            LayerKind::Linear { outputs, bias } => {
                name(f, &"linear")?;
                write!(f, " outputs={outputs}{}", if *bias { "" } else { " no-bias" })?;
            }
            LayerKind::Activation(activation) => name(f, activation)?,
            LayerKind::Readout(readout) => name(f, readout)?,
            LayerKind::Scale { gain, offset } => {
                name(f, &"scale")?;
                write!(f, " gain={} offset={}", List(gain), List(offset))?;
            }
            LayerKind::Residual { from, layers: inner } => {
                name(f, &"residual")?;
                writeln!(f, " from={from} {{")?;
                layers(f, inner, depth + 1)?;
                write!(f, "{:1$}}}", "", 2 * depth)?;
            }
        }
        f.write_char('\n')?;
    }
    Ok(())
}

fn cell_name(cell: &CellSpec) -> &'static str {
    match cell {
        CellSpec::Rnn(_) => "rnn",
        CellSpec::Gru(_) => "gru",
        CellSpec::Lstm(_) => "lstm",
    }
}

/// The settings that are not PyTorch's defaults; the sizes always.
fn recurrent(f: &mut Formatter<'_>, spec: &RecurrentSpec) -> fmt::Result {
    write!(f, " hidden={}", List(&spec.hidden_sizes))?;
    for (set, flag) in
        [(spec.bidirectional, " bidirectional"), (!spec.bias, " no-bias"), (spec.initial_state, " own-state")]
    {
        if set {
            f.write_str(flag)?;
        }
    }
    if spec.proj_size != 0 {
        write!(f, " projection={}", spec.proj_size)?;
    }
    if spec.dropout != 0.0 || spec.dropout.is_sign_negative() {
        write!(f, " dropout={}", spec.dropout)?;
    }
    if spec.state_delay != 1 {
        write!(f, " delay={}", spec.state_delay)?;
    }
    let other = |f: &mut Formatter<'_>, what: &str, got: &Activation, usual: Activation| {
        if *got == usual { Ok(()) } else { write!(f, " {what}={got}") }
    };
    let clip = match &spec.cell {
        CellSpec::Rnn(RnnCellSpec { activation, clip }) => {
            other(f, "activation", activation, Activation::Tanh)?;
            clip
        }
        CellSpec::Gru(GruCellSpec { reset, gates, candidate, clip }) => {
            if *reset == Reset::Before {
                f.write_str(" reset=before")?;
            }
            other(f, "gates", gates, Activation::Sigmoid)?;
            other(f, "candidate", candidate, Activation::Tanh)?;
            clip
        }
        CellSpec::Lstm(LstmCellSpec { peepholes, gates, candidate, output, clip, input_forget }) => {
            if *peepholes {
                f.write_str(" peepholes")?;
            }
            if *input_forget {
                f.write_str(" input-forget")?;
            }
            other(f, "gates", gates, Activation::Sigmoid)?;
            other(f, "candidate", candidate, Activation::Tanh)?;
            other(f, "output", output, Activation::Tanh)?;
            clip
        }
    };
    clip.map_or(Ok(()), |clip| write!(f, " clip={clip}"))
}

impl Display for Activation {
    /// As a spec's text has it, such as `relu` or `leaky-relu(0.01)`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Activation::Identity => f.write_str("identity"),
            Activation::Tanh => f.write_str("tanh"),
            Activation::Relu => f.write_str("relu"),
            Activation::Sigmoid => f.write_str("sigmoid"),
            Activation::Softmax => f.write_str("softmax"),
            Activation::Softsign => f.write_str("softsign"),
            Activation::Softplus => f.write_str("softplus"),
            Activation::HardSigmoid { alpha, beta } => write!(f, "hard-sigmoid({alpha},{beta})"),
            Activation::LeakyRelu { alpha } => write!(f, "leaky-relu({alpha})"),
            Activation::Elu { alpha } => write!(f, "elu({alpha})"),
            Activation::ScaledTanh { alpha, beta } => write!(f, "scaled-tanh({alpha},{beta})"),
            Activation::Affine { alpha, beta } => write!(f, "affine({alpha},{beta})"),
            Activation::ThresholdedRelu { alpha } => write!(f, "thresholded-relu({alpha})"),
        }
    }
}

impl Display for Readout {
    /// As a spec's text has it, such as `last`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Readout::EveryStep => "every-step",
            Readout::Last => "last",
            Readout::Mean => "mean",
            Readout::Max => "max",
        })
    }
}

/// A layer's name, in quotes where it is no plain word.
struct Name<'a>(&'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if plain(self.0) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Numbers with commas between them.
struct List<'a, T>(&'a [T]);

impl<T: Display> Display for List<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

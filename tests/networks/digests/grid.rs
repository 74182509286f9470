//! What is run: configurations chosen so that every size meets every cell, and every setting several others.

/// A cell of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CellKind {
    Tanh,
    Relu,
    Gru,
    Lstm,
    /// An LSTM whose state is projected to half of its units.
    Projected,
}

impl CellKind {
    const ALL: [Self; 5] = [Self::Tanh, Self::Relu, Self::Gru, Self::Lstm, Self::Projected];

    fn name(self) -> &'static str {
        match self {
            CellKind::Tanh => "tanh",
            CellKind::Relu => "relu",
            CellKind::Gru => "gru",
            CellKind::Lstm => "lstm",
            CellKind::Projected => "projected lstm",
        }
    }

    pub(super) fn gates(self) -> usize {
        match self {
            CellKind::Tanh | CellKind::Relu => 1,
            CellKind::Gru => 3,
            CellKind::Lstm | CellKind::Projected => 4,
        }
    }
}

/// A network and the form of its batch. `words` are its settings, any of `both` (directions), `no-bias`, `batch-first`,
/// `packed` (rows of random lengths, 0 included; the last has all steps), `unbatched`, `resets`, and `state` (the first
/// state is given, and the gradient of the last one).
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) cell: CellKind,
    pub(super) layers: usize,
    pub(super) hidden: usize,
    pub(super) input: usize,
    pub(super) batch: usize,
    pub(super) steps: usize,
    words: &'static str,
}

impl Network {
    pub(super) fn has(&self, word: &str) -> bool {
        self.words.split(' ').any(|known| known == word)
    }

    pub(super) fn directions(&self) -> usize {
        if self.has("both") { 2 } else { 1 }
    }

    pub(super) fn projection(&self) -> usize {
        if self.cell == CellKind::Projected { self.hidden.div_ceil(2) } else { 0 }
    }

    /// The width of h.
    pub(super) fn state(&self) -> usize {
        if self.projection() > 0 { self.projection() } else { self.hidden }
    }
}

/// One piece of work with a digest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    Network(Network),
    /// A head over some rows.
    Linear {
        rows: usize,
        input: usize,
        output: usize,
    },
    Mse {
        rows: usize,
        width: usize,
    },
    /// With every third row left out.
    CrossEntropy {
        rows: usize,
        classes: usize,
    },
    /// Twenty steps.
    Train {
        cell: CellKind,
        adam: bool,
    },
}

/// Layers, hidden, input, batch, steps, and settings. Hidden sizes lie on, below and above whole vectors and tiles.
const NETWORKS: [([usize; 5], &str); 21] = [
    ([1, 5, 1, 1, 5], ""),
    ([1, 16, 3, 2, 5], "state"),
    ([1, 17, 16, 7, 20], "packed state"),
    ([1, 48, 70, 33, 5], "both no-bias"),
    ([1, 48, 16, 33, 1], "packed batch-first state"),
    ([1, 64, 3, 1, 20], "unbatched state"),
    ([1, 65, 16, 7, 20], "batch-first resets state"),
    ([1, 96, 70, 2, 5], "both packed resets"),
    ([1, 128, 3, 33, 5], "no-bias state"),
    ([1, 200, 70, 7, 5], "state"),
    ([1, 200, 16, 1, 20], "both unbatched resets state"),
    ([2, 5, 3, 33, 20], "both packed resets state"),
    ([2, 16, 70, 1, 5], "both batch-first resets state"),
    ([2, 17, 1, 2, 1], "no-bias"),
    ([2, 64, 16, 7, 20], "both packed batch-first state"),
    ([2, 65, 70, 33, 5], "both state"),
    ([2, 96, 16, 2, 20], "no-bias packed"),
    // Several blocks of steps, however few gates the cell has.
    ([1, 64, 3, 7, 150], "state"),
    ([1, 65, 3, 2, 500], "both packed resets"),
    // Two threads share rows; and, where there is only one, units.
    ([1, 200, 70, 33, 20], "both state"),
    ([1, 384, 16, 1, 20], "state"),
];

fn networks() -> impl Iterator<Item = (String, Work)> {
    CellKind::ALL.into_iter().flat_map(|cell| {
        NETWORKS.into_iter().map(move |([layers, hidden, input, batch, steps], words)| {
            let space = if words.is_empty() { "" } else { " " };
            let cell_name = cell.name();
            let name = format!("{cell_name} L{layers} H{hidden} I{input} B{batch} T{steps}{space}{words}");
            (name, Work::Network(Network { cell, layers, hidden, input, batch, steps, words }))
        })
    })
}

fn heads() -> impl Iterator<Item = (String, Work)> {
    [(8, 1), (8, 40), (64, 3), (64, 16), (65, 1), (65, 40), (200, 3), (200, 16)].into_iter().flat_map(|(k, n)| {
        [1, 35, 330].map(|rows| (format!("linear K{k} N{n} rows {rows}"), Work::Linear { rows, input: k, output: n }))
    })
}

fn losses() -> impl Iterator<Item = (String, Work)> {
    [(1, 2), (35, 3), (35, 16), (330, 40)].into_iter().flat_map(|(rows, width)| {
        [
            (format!("mse C{width} rows {rows}"), Work::Mse { rows, width }),
            (format!("cross-entropy C{width} rows {rows}"), Work::CrossEntropy { rows, classes: width }),
        ]
    })
}

fn trainings() -> impl Iterator<Item = (String, Work)> {
    CellKind::ALL.into_iter().flat_map(|cell| {
        [(true, "adam"), (false, "sgd")]
            .map(|(adam, optimizer)| (format!("train {} with {optimizer}", cell.name()), Work::Train { cell, adam }))
    })
}

/// All work with a name each.
pub(super) fn grid() -> Vec<(String, Work)> {
    networks().chain(heads()).chain(losses()).chain(trainings()).collect()
}

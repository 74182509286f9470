//! The arguments of a bench without criterion: as criterion's benches take them, or an error.

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Only to tell what there is.
    List,
    /// To run these, all where none is named; only to see whether they run where `smoke` says so.
    Run {
        /// One short turn: nothing is measured.
        smoke: bool,
        /// Some of the known words.
        words: Vec<String>,
    },
}

/// Reads the arguments behind a bench's name. Words name some of `known`, which are called `what`; options that criterion
/// knows are left to it.
pub(crate) fn parse(arguments: impl IntoIterator<Item = String>, what: &str, known: &[&str]) -> Result<Asked, String> {
    let (mut smoke, mut list, mut words) = (false, false, Vec::new());
    for argument in arguments {
        match argument.as_str() {
            "--test" => smoke = true,
            "--list" => list = true,
            option if option.starts_with('-') => {}
            word => match known.iter().find(|known| known.eq_ignore_ascii_case(word)) {
                Some(&known) => words.push(known.to_string()),
                None if known.is_empty() => return Err(format!("{word}: this bench takes no words")),
                None => return Err(format!("{word}: expected {what}, one of {}", known.join(", "))),
            },
        }
    }
    Ok(if list { Asked::List } else { Asked::Run { smoke, words } })
}

/// The arguments of this process for the bench `name`: whether to run it shortly, and which of `known`, all where none is
/// named. Ends the process where they are wrong, or ask only what there is.
pub(crate) fn asked<'k>(name: &str, what: &str, known: &[&'k str]) -> (bool, Vec<&'k str>) {
    match parse(std::env::args().skip(1), what, known) {
        Ok(Asked::List) => {
            // As criterion's benches and the test harness do.
            println!("{name}: benchmark");
            std::process::exit(0);
        }
        Ok(Asked::Run { smoke, words }) => {
            let wanted = |known: &&&str| words.is_empty() || words.iter().any(|word| word == **known);
            (smoke, known.iter().filter(wanted).copied().collect())
        }
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(2);
        }
    }
}

//! Memory before it is asked for: what a command is going to allocate, part by part, against what there is. A request that
//! cannot be met ends the process without a word, or another's in its place.

use std::fs;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

use super::Failure;

/// What is going to be allocated.
#[derive(Default)]
pub(crate) struct Needs {
    parts: Vec<(String, u64)>,
}

impl Needs {
    /// So many bytes for `what`.
    pub(crate) fn bytes(&mut self, what: impl Into<String>, bytes: u64) {
        self.parts.push((what.into(), bytes));
    }

    /// So many `f32`, a number for each dimension of a shape; no computer has [`u64::MAX`] bytes.
    pub(crate) fn floats(&mut self, what: impl Into<String>, shape: &[usize]) {
        // Nothing times anything is nothing.
        let bytes = if shape.contains(&0) {
            0
        } else {
            shape.iter().fold(size_of::<f32>() as u64, |bytes, &size| bytes.saturating_mul(size as u64))
        };
        self.bytes(what, bytes);
    }

    /// So many times what a file holds, which is read whole. What is no file is told where it is opened.
    pub(crate) fn file(&mut self, what: impl Into<String>, path: &Path, times: u64) {
        let bytes = fs::metadata(path).map_or(0, |there| if there.is_file() { there.len() } else { 0 });
        self.bytes(what, bytes.saturating_mul(times));
    }

    /// That there is as much.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.check_against(available())
    }

    fn check_against(&self, available: Option<u64>) -> Result<(), Failure> {
        let sum = self.parts.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        // What is not told is limited by addresses alone.
        let available = available.unwrap_or(isize::MAX as u64);
        let largest = self.parts.iter().max_by_key(|(_, bytes)| *bytes);
        let Some((what, bytes)) = largest.filter(|_| sum > available) else { return Ok(()) };
        let [sum, available, bytes] = [sum, available, *bytes].map(amount);
        Err(Failure::Run(format!(
            "memory: expected to need at most the {available} there are, got {sum}, {bytes} of it for {what}"
        )))
    }
}

fn amount(bytes: u64) -> String {
    match bytes {
        u64::MAX => "more than 16 EiB".into(),
        _ => HumanBytes(bytes).to_string(),
    }
}

/// Bytes that can be allocated without pushing anything out: the least of what the machine has and what every control
/// group that this process is in may still take. None where the system does not say.
fn available() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups.lines().filter_map(group).flat_map(left_in);
    machine(&fs::read_to_string("/proc/meminfo").ok()?).into_iter().chain(groups).min()
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn machine(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"))?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The folder of a control group for memory, of a line of `/proc/self/cgroup`, and the names of its files.
fn group(line: &str) -> Option<(PathBuf, PathBuf, [&'static str; 2])> {
    let mut fields = line.splitn(3, ':');
    let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?.trim_start_matches('/'));
    if id == "0" && controllers.is_empty() {
        let root = Path::new("/sys/fs/cgroup");
        return Some((root.into(), root.join(path), ["memory.max", "memory.current"]));
    }
    let memory = controllers.split(',').any(|controller| controller == "memory");
    let root = Path::new("/sys/fs/cgroup/memory");
    memory.then(|| (root.into(), root.join(path), ["memory.limit_in_bytes", "memory.usage_in_bytes"]))
}

/// What the group and those that it is in may still take.
fn left_in((root, group, [limit, usage]): (PathBuf, PathBuf, [&'static str; 2])) -> Vec<u64> {
    let number = |folder: &Path, file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    let left = |folder: &Path| {
        // `max` is no number: there is no limit.
        let limit = number(folder, limit)?;
        // Pages of files that were read can be given up at any time.
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok()).unwrap_or(0);
        Some(limit.saturating_sub(number(folder, usage)?.saturating_sub(cache)))
    };
    group.ancestors().take_while(|folder| folder.starts_with(&root)).filter_map(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_and_its_largest_part_are_told() {
        let mut needs = Needs::default();
        needs.floats("the output", &[1 << 10, 1 << 20]);
        needs.floats("the states", &[1 << 20, 3]);
        needs.bytes("the file", 1 << 30);
        let gib = 1 << 30;
        let sum = 5 * gib + (12 << 20);
        assert!(needs.check_against(Some(sum)).is_ok());
        let Err(Failure::Run(text)) = needs.check_against(Some(sum - 1)) else { panic!("no refusal") };
        let there = HumanBytes(sum - 1);
        let expected = format!(
            "memory: expected to need at most the {there} there are, got 5.01 GiB, 4.00 GiB of it for the output"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn no_sum_overflows_and_nothing_needs_nothing() {
        let mut needs = Needs::default();
        needs.floats("nothing", &[usize::MAX, usize::MAX, 0]);
        assert!(needs.check_against(Some(0)).is_ok());
        needs.floats("all", &[usize::MAX, 8]);
        needs.bytes("more", u64::MAX);
        for available in [Some(u64::MAX - 1), None] {
            let Err(Failure::Run(text)) = needs.check_against(available) else { panic!("no refusal") };
            assert!(text.contains("got more than 16 EiB"), "{text}");
        }
    }

    #[test]
    fn the_system_is_understood() {
        assert_eq!(machine("MemTotal:       16 kB\nMemAvailable:    3 kB\n"), Some(3072));
        assert_eq!(machine("MemTotal:       16 kB\n"), None);
        let (root, folder, [limit, _]) = group("0::/user.slice/a").unwrap();
        assert_eq!((root.to_str(), folder.to_str()), (Some("/sys/fs/cgroup"), Some("/sys/fs/cgroup/user.slice/a")));
        assert_eq!(limit, "memory.max");
        assert_eq!(group("5:cpu,memory:/docker/b").unwrap().1, Path::new("/sys/fs/cgroup/memory/docker/b"));
        assert!(group("4:cpu:/docker/b").is_none() && group("").is_none());
        #[cfg(target_os = "linux")]
        assert!(available().unwrap() > 1 << 20);
    }

    #[test]
    fn a_group_may_take_what_its_groups_leave() {
        let folder = tempfile::TempDir::new().unwrap();
        let inner = folder.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        let write = |at: &str, text: &str| fs::write(folder.path().join(at), text).unwrap();
        write("outer/memory.max", "1000\n");
        write("outer/memory.current", "700\n");
        write("outer/memory.stat", "anon 600\ninactive_file 50\n");
        write("outer/inner/memory.max", "max\n");
        write("outer/inner/memory.current", "600\n");
        let left = left_in((folder.path().into(), inner, ["memory.max", "memory.current"]));
        assert_eq!(left, [350]);
    }
}

//! How much memory there is, whether a request fits it, and room that grows without an abort where it does not.
//!
//! A system that hands out more than it has lets a huge request pass and kills the process when it is written to. So large
//! requests are compared with what there is, before anything is allocated; small ones cost one comparison.

use std::sync::OnceLock;

use crate::error::{Error, Result};

/// A request of fewer bytes is never compared with the memory there is, and one of `LARGE` or more always: reading that
/// takes some tens of microseconds, nothing beside the time in which a gibibyte is first written.
const SMALL: u64 = 1 << 20;
const LARGE: u64 = 1 << 30;

/// The share of what there was at first from which on a request is compared, so that in a container of 512 MiB one of 900
/// MB is.
const SHARE: u64 = 16;

/// Whether a request is compared with the memory there is, where there was that much at first.
fn is_large(bytes: u64, at_first: impl FnOnce() -> Option<u64>) -> bool {
    bytes >= LARGE || bytes >= SMALL && at_first().is_some_and(|at_first| bytes >= at_first / SHARE)
}

/// What there was when it was first asked for.
fn at_first() -> Option<u64> {
    static AT_FIRST: OnceLock<Option<u64>> = OnceLock::new();
    *AT_FIRST.get_or_init(available)
}

/// The bytes that the process could still use, where the system tells: on Linux what is available (free, or taken by files
/// that are only cached), or less where a control group limits it.
#[must_use]
pub fn available() -> Option<u64> {
    #[cfg(target_os = "linux")]
    return linux::available(std::path::Path::new("/"));
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// That there is memory for `name`.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn check(name: &str, bytes: u64) -> Result<()> {
    if is_large(bytes, at_first) { compare(name, bytes, None) } else { Ok(()) }
}

/// That there is memory for all of these parts together.
///
/// # Errors
/// [`Error::Memory`], naming the sum and its largest part.
pub fn check_sum(name: &str, parts: &[(&str, u64)]) -> Result<()> {
    let bytes = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.1));
    if !is_large(bytes, at_first) {
        return Ok(());
    }
    let largest = parts.iter().max_by_key(|part| part.1).map(|&(part, bytes)| (part.to_string(), bytes));
    compare(name, bytes, largest)
}

/// Room for `len` elements in all, of what is called `name`. Allocates only where there is less. Every buffer whose size
/// follows from a model or its data grows here: an allocation that fails elsewhere ends the process.
///
/// # Errors
/// [`Error::Memory`]; the vector is then as it was.
#[inline]
pub(crate) fn reserve<T>(name: &str, vec: &mut Vec<T>, len: usize) -> Result<()> {
    if len <= vec.capacity() { Ok(()) } else { grow(name, vec, len) }
}

#[cold]
fn grow<T>(name: &str, vec: &mut Vec<T>, len: usize) -> Result<()> {
    let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
    check(name, bytes)?;
    let more = len - vec.len();
    vec.try_reserve_exact(more).map_err(|_| Error::memory(name, bytes, None))
}

#[cold]
fn compare(name: &str, bytes: u64, largest: Option<(String, u64)>) -> Result<()> {
    match available() {
        Some(available) if bytes > available => {
            Err(Error::Memory { name: name.into(), bytes, largest, available: Some(available) })
        }
        _ if is_refused(bytes) => Err(Error::Memory { name: name.into(), bytes, largest, available: None }),
        _ => Ok(()),
    }
}

/// Whether the system refuses the allocation outright, as where the address space is limited. It is given back unwritten.
fn is_refused(bytes: u64) -> bool {
    usize::try_from(bytes).map_or(true, |bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_err())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::read_to_string;
    use std::path::Path;

    /// Under the system's root folder.
    pub(super) fn available(root: &Path) -> Option<u64> {
        let machine = read_to_string(root.join("proc/meminfo")).ok().and_then(|text| {
            let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
            kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
        });
        let groups = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let left = groups.lines().filter_map(|line| in_group(root, line)).min();
        [machine, left].into_iter().flatten().min()
    }

    /// What the limits of one line of `/proc/self/cgroup`, `id:controllers:path`, leave: of the group and of all above it.
    /// Inside a container the path may be one of the world outside; then the folder's own files count.
    fn in_group(root: &Path, line: &str) -> Option<u64> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (folder, files) = match controllers {
            "" => ("sys/fs/cgroup", &V2),
            controllers if controllers.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", &V1),
            _ => return None,
        };
        let folder = root.join(folder);
        let group = folder.join(path.trim_start_matches('/'));
        let inside = group.ancestors().take_while(|group| group.starts_with(&folder));
        inside.filter_map(|group| files.left(group)).min()
    }

    /// The names of a version's files.
    struct Files {
        limit: &'static str,
        usage: &'static str,
        /// In `memory.stat`: files that are only cached, which the system takes back before it refuses.
        cached: [&'static str; 2],
    }

    const V1: Files = Files {
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
        cached: ["total_inactive_file", "total_active_file"],
    };
    const V2: Files = Files { limit: "memory.max", usage: "memory.current", cached: ["inactive_file", "active_file"] };

    impl Files {
        /// What is left of a group's limit, where it has one.
        fn left(&self, group: &Path) -> Option<u64> {
            // Without a limit version 2 says `max`, and version 1 a number beyond any memory.
            let limit: u64 = number(&read_to_string(group.join(self.limit)).ok()?)?;
            let usage = number(&read_to_string(group.join(self.usage)).ok()?)?;
            let stat = read_to_string(group.join("memory.stat")).unwrap_or_default();
            let cached = stat.lines().filter_map(|line| line.split_once(' '));
            let cached = cached.filter(|(name, _)| self.cached.contains(name)).filter_map(|(_, value)| number(value));
            Some(limit.saturating_sub(usage.saturating_sub(cached.sum())))
        }
    }

    fn number(text: &str) -> Option<u64> {
        text.trim().parse().ok()
    }

    #[cfg(test)]
    mod tests {
        use std::fs;

        use super::*;

        /// A root folder with these files.
        fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            root
        }

        const MEMINFO: (&str, &str) =
            ("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    8000000 kB\n");

        #[test]
        fn without_limits_it_is_what_the_machine_has() {
            assert_eq!(available(root(&[]).path()), None);
            assert_eq!(available(root(&[MEMINFO]).path()), Some(8_192_000_000));
            let unlimited = [
                MEMINFO,
                ("proc/self/cgroup", "0::/user.slice\n"),
                ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
                ("sys/fs/cgroup/user.slice/memory.current", "5\n"),
            ];
            assert_eq!(available(root(&unlimited).path()), Some(8_192_000_000));
        }

        #[test]
        fn the_least_of_all_limits_counts_and_cached_files_do_not() {
            let mut files = vec![
                MEMINFO,
                ("proc/self/cgroup", "0::/outer/inner\n"),
                ("sys/fs/cgroup/outer/memory.max", "1000000\n"),
                ("sys/fs/cgroup/outer/memory.current", "900000\n"),
                ("sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 200000\nactive_file 100000\n"),
                ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ];
            assert_eq!(available(root(&files).path()), Some(400_000));
            // Filled to the brim.
            files[3].1 = "2000000";
            assert_eq!(available(root(&files).path()), Some(0));
            let first = [
                MEMINFO,
                ("proc/self/cgroup", "5:cpu:/x\n4:hugetlb,memory:/docker/abc\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "5000\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n"),
            ];
            assert_eq!(available(root(&first).path()), Some(4000), "a path of the world outside of the container");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn room_that_there_is_not_is_an_error_and_the_vector_stays() {
        let mut vec = vec![1_u64, 2];
        for len in [1 << 60, usize::MAX] {
            let error = reserve("order", &mut vec, len).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Memory);
            assert!(error.to_string().starts_with("order: needs "), "{error}");
            assert_eq!(vec, [1, 2]);
        }
        reserve("order", &mut vec, 5).unwrap();
        assert!(vec.capacity() >= 5 && vec == [1, 2]);
    }

    #[test]
    fn what_is_large_depends_on_what_there_is() {
        let (container, machine) = (|| Some(512 << 20), || Some(16 << 30));
        assert!(is_large(900_000_000, container) && is_large(32 << 20, container));
        assert!(!is_large(31 << 20, container) && !is_large(900_000_000, machine));
        assert!(is_large(LARGE, || Some(1 << 40)) && is_large(LARGE, || None) && !is_large(LARGE - 1, || None));
        assert!(is_large(SMALL, || Some(0)) && !is_large(SMALL - 1, || unreachable!("it is not asked for")));
    }

    #[test]
    fn what_no_machine_has_is_refused_with_its_sum_and_largest_part() {
        assert!(check("model", SMALL - 1).is_ok());
        if available().is_none() {
            eprintln!("skipped: this system does not tell its memory");
            return;
        }
        let error = check("model", 1 << 62).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
        assert!(error.to_string().starts_with("model: needs 4,611,686,018,427,387,904 bytes"), "{error}");
        let error = check_sum("run", &[("input", 4096), ("output", u64::MAX), ("state", 1)]).unwrap_err().to_string();
        assert!(error.contains("of them 18,446,744,073,709,551,615 bytes (16777216.0 TiB) for output"), "{error}");
    }
}

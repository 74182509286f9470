//! Files that are replaced whole or not at all.
//!
//! The new contents go to a temporary beside the target, reach the disk, and only then take the target's name: whoever
//! opens the target, whenever the power fails, finds the old contents or the new, never a part of either.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::ErrorKind::{AlreadyExists, NotADirectory, NotFound, PermissionDenied};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Replaces the file at `path`, or makes it, in one step.
///
/// A link is followed, the permissions of a file that was there are kept. A process that is killed half way leaves its
/// temporary, `.elman-*.tmp`, behind; everything that fails takes it away.
///
/// # Errors
/// [`Error::Io`] naming `path`: its folder is missing or cannot be written, it is a folder, a device or read-only, the
/// disk is full. What was at `path` is as it was.
pub fn write_atomic(path: impl AsRef<Path>, contents: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let target = Destination::of(path)?;
    let (temporary, mut file) = target.temporary(path)?;
    let written = (|| {
        if let Some(permissions) = target.permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(contents)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &target.file)
    })();
    if let Err(error) = written {
        // The first error is the one to tell; a temporary that cannot be removed is the lesser harm.
        let _ = fs::remove_file(&temporary);
        return Err(Error::io("write", path, error));
    }
    // The new name reaches the disk with its folder. Not every system can flush a folder, and the contents are whole
    // under the old name or the new without it.
    let _ = File::open(&target.folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Whether [`write_atomic`] can work at `path`: to be asked before hours of training, not after.
///
/// # Errors
/// As of [`write_atomic`], except for what only the contents can bring about (a full disk).
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let target = Destination::of(path)?;
    let (temporary, file) = target.temporary(path)?;
    let replaceable = target.replaceable(&file);
    drop(file);
    fs::remove_file(&temporary).and(replaceable).map_err(|error| Error::io("write", path, error))
}

/// Where a file is to be, behind all links.
struct Destination {
    file: PathBuf,
    folder: PathBuf,
    /// Those of the file that is there already.
    permissions: Option<Permissions>,
}

impl Destination {
    fn of(path: &Path) -> Result<Self> {
        let refuse = |reason: &str| Err(refusal(path, reason));
        // `a/b/` and `a/b/.` can only be folders, though `file_name` says `b`.
        let is_a_name = path.file_name().is_some_and(|name| {
            let typed = path.as_os_str().as_encoded_bytes();
            typed.ends_with(name.as_encoded_bytes())
        });
        let there = match fs::metadata(path) {
            Ok(there) if there.is_dir() => return refuse("it is a folder; expected a file's name"),
            // Renaming over `/dev/null` would take it from everybody.
            Ok(there) if !there.is_file() => return refuse("it is not a regular file"),
            // A rename asks the folder, not the file: without this, a file that was protected would be lost.
            Ok(there) if there.permissions().readonly() => return refuse("it is read-only"),
            Ok(there) => Some(there),
            Err(_) if !is_a_name => return refuse("expected a file's name"),
            Err(_) if path.is_symlink() => return refuse("it is a link to a file that does not exist"),
            // Of these the temporary, which is tried next, gives the better account.
            Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => None,
            // A name that cannot be: the temporary's can.
            Err(error) => return Err(Error::io("write", path, error)),
        };
        let file = if path.is_symlink() {
            fs::canonicalize(path).map_err(|error| Error::io("write", path, error))?
        } else {
            path.to_path_buf()
        };
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
            _ => PathBuf::from("."),
        };
        Ok(Self { file, folder, permissions: there.map(|there| there.permissions()) })
    }

    /// A new file beside the target; `path` is what the user calls the target.
    fn temporary(&self, path: &Path) -> Result<(PathBuf, File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            // Without the target's name, which may be as long as a name can be.
            let temporary = self.folder.join(format!(".elman-{}-{count}.tmp", process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&temporary) {
                Ok(file) => return Ok((temporary, file)),
                // Left by a process of the same number, or in use by one in another container.
                Err(error) if error.kind() == AlreadyExists => {}
                Err(error) => return Err(self.cannot_create(path, &error)),
            }
        }
    }

    /// That a rename may take the target's name from the file that has it: in a sticky folder, such as `/tmp`, only the
    /// file's owner and the folder's may. `made` is a file that was just made there.
    #[cfg(unix)]
    fn replaceable(&self, made: &File) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;

        const STICKY: u32 = 0o1000;
        let folder = fs::metadata(&self.folder)?;
        let Ok(there) = fs::metadata(&self.file) else { return Ok(()) };
        let me = made.metadata()?.uid();
        if folder.mode() & STICKY == 0 || me == 0 || [folder.uid(), there.uid()].contains(&me) {
            return Ok(());
        }
        let folder = self.folder.display();
        Err(io::Error::other(format!("it is another user's file, which the sticky folder {folder} keeps from others")))
    }

    #[cfg(not(unix))]
    fn replaceable(&self, _made: &File) -> io::Result<()> {
        Ok(())
    }

    /// The system's 'no such file' does not say that it is the folder that is missing.
    #[cold]
    fn cannot_create(&self, path: &Path, error: &io::Error) -> Error {
        let folder = self.folder.display();
        match fs::metadata(&self.folder) {
            Ok(there) if there.is_dir() => {
                refusal(path, &format!("no file can be made in the folder {folder}: {error}"))
            }
            Ok(_) => refusal(path, &format!("{folder} is not a folder")),
            Err(error) if error.kind() == NotFound => refusal(path, &format!("the folder {folder} does not exist")),
            Err(error) => refusal(path, &format!("the folder {folder}: {error}")),
        }
    }
}

fn refusal(path: &Path, reason: &str) -> Error {
    Error::io("write", path, io::Error::other(reason))
}

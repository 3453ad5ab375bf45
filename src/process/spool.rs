//! Bytes kept for later, in bounded memory: beyond that they go to a temporary
//! file without a name, which is gone when cb is, whatever ends it.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much stays in memory.
const MEMORY_MAX: usize = 1024 * 1024;

/// Bytes that are added at the end and read from anywhere. How many there may
/// be is for its owner to say.
#[derive(Default)]
pub struct Spool {
    memory: Vec<u8>,
    /// Where all the bytes are, once they are too many for memory.
    file: Option<File>,
    len: u64,
}

impl Spool {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds these bytes.
    ///
    /// # Errors
    ///
    /// The temporary file's. Then nothing was added.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.len() + bytes.len() > MEMORY_MAX {
            let file = tempfile::tempfile()?;
            file.write_all_at(&self.memory, 0)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &self.file {
            Some(file) => file.write_all_at(bytes, self.len)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Some of the bytes from `at` on, at most as many as fit into `scratch`;
    /// none only at the end.
    ///
    /// # Errors
    ///
    /// The temporary file's.
    pub fn part<'s>(&'s self, at: u64, scratch: &'s mut [u8]) -> io::Result<&'s [u8]> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let wanted = left.min(scratch.len());
        let Some(file) = &self.file else {
            let at = usize::try_from(at).unwrap_or(usize::MAX).min(self.memory.len());
            return Ok(&self.memory[at..at + wanted]);
        };
        let part = &mut scratch[..wanted];
        file.read_exact_at(part, at)?;
        Ok(part)
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// The temporary file's.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let Some(file) = &self.file else { return Ok(self.memory.clone()) };
        let mut all = vec![0; usize::try_from(self.len).map_err(io::Error::other)?];
        file.read_exact_at(&mut all, 0)?;
        Ok(all)
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl fmt::Debug for Spool {
    /// Without the bytes, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(spool: &Spool) -> Vec<u8> {
        let mut scratch = [0; 1000];
        let mut all = Vec::new();
        loop {
            match spool.part(all.len() as u64, &mut scratch).unwrap() {
                [] => return all,
                part => all.extend_from_slice(part),
            }
        }
    }

    #[test]
    fn what_goes_in_comes_out_in_memory_and_beyond() {
        let mut spool = Spool::default();
        let mut all = Vec::new();
        assert_eq!(read_back(&spool), all);
        for round in 0..40_u32 {
            let part: Vec<u8> = (0..60_000_u32).map(|at| (at * 7 + round) as u8).collect();
            spool.push(&part).unwrap();
            all.extend_from_slice(&part);
            assert_eq!(spool.len(), all.len() as u64);
            assert_eq!(spool.file.is_some(), all.len() > MEMORY_MAX);
        }
        assert!(spool.file.is_some() && spool.memory.capacity() == 0);
        assert!(read_back(&spool) == all && spool.to_vec().unwrap() == all);
        assert_eq!(spool.part(u64::MAX, &mut [0; 9]).unwrap(), b"");
        spool.clear();
        assert!(spool.is_empty());
        spool.push(b"again").unwrap();
        assert_eq!(read_back(&spool), b"again");
        assert_eq!(spool.part(3, &mut [0; 9]).unwrap(), b"in");
    }

    #[test]
    fn its_content_is_not_shown() {
        let mut spool = Spool::default();
        spool.push(b"secret").unwrap();
        assert_eq!(format!("{spool:?}"), "Spool { len: 6, .. }");
    }
}

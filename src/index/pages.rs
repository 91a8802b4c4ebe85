//! Memory for the codes of a block, on huge pages where the codes fill one and the system provides them.
//!
//! A scan runs at the speed of memory; with pages of 4 KiB a tenth to a quarter of it is lost to address translation.
//! Linux gives huge pages only to mappings that request them.

use memmap2::MmapMut;

/// Size of a huge page on 64-bit x86 and on most ARM systems, bytes.
pub(super) const HUGE_PAGE: usize = 2 << 20;

/// A smaller allocation would waste too much of a huge page.
const MIN_HUGE: usize = HUGE_PAGE / 4 * 3;

/// A growable array of codes.
pub(super) struct Pages(Allocation);

enum Allocation {
    Small(Vec<i8>),
    Huge { map: MmapMut, start: usize, length: usize, capacity: usize },
}

impl Pages {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(allocate_huge(bytes).unwrap_or_else(|| Allocation::Small(Vec::with_capacity(bytes))))
    }

    pub(super) fn as_slice(&self) -> &[i8] {
        match &self.0 {
            Allocation::Small(bytes) => bytes,
            Allocation::Huge { map, start, length, .. } => bytemuck::cast_slice(&map[*start..start + length]),
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [i8] {
        match &mut self.0 {
            Allocation::Small(bytes) => bytes,
            Allocation::Huge { map, start, length, .. } => bytemuck::cast_slice_mut(&mut map[*start..*start + *length]),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn capacity(&self) -> usize {
        match &self.0 {
            Allocation::Small(bytes) => bytes.capacity(),
            Allocation::Huge { capacity, .. } => *capacity,
        }
    }

    pub(super) fn push(&mut self, bytes: &[i8]) {
        if self.capacity() - self.len() < bytes.len() {
            self.reserve(self.len().max(bytes.len()));
        }
        match &mut self.0 {
            Allocation::Small(old) => old.extend_from_slice(bytes),
            Allocation::Huge { map, start, length, .. } => {
                let end = *start + *length;
                map[end..end + bytes.len()].copy_from_slice(bytemuck::cast_slice(bytes));
                *length += bytes.len();
            }
        }
    }

    /// Reserves capacity for `bytes` more bytes. A reallocation overwrites the old memory with zeros.
    pub(super) fn reserve(&mut self, bytes: usize) {
        if self.capacity() - self.len() < bytes {
            let mut new = Self::with_capacity(self.len() + bytes);
            new.push(self.as_slice());
            self.wipe();
            *self = new;
        }
    }

    /// Overwrites all codes with zeros.
    pub(super) fn wipe(&mut self) {
        let bytes = self.as_mut_slice();
        bytes.fill(0);
        std::hint::black_box(bytes);
    }
}

/// `None` when a huge page would be mostly empty or the system provides none.
#[cfg(target_os = "linux")]
fn allocate_huge(bytes: usize) -> Option<Allocation> {
    if bytes < MIN_HUGE {
        return None;
    }
    let capacity = bytes.next_multiple_of(HUGE_PAGE);
    // The part before the first boundary is never touched, so it takes address space but no memory.
    let map = memmap2::MmapOptions::new().len(capacity + HUGE_PAGE).map_anon().ok()?;
    map.advise(memmap2::Advice::HugePage).ok()?;
    let start = map.as_ptr().align_offset(HUGE_PAGE);
    (start <= HUGE_PAGE).then_some(Allocation::Huge { map, start, length: 0, capacity })
}

#[cfg(not(target_os = "linux"))]
fn allocate_huge(_bytes: usize) -> Option<Allocation> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushed_bytes_are_kept_on_small_and_huge_pages() {
        for capacity in [0, 100, MIN_HUGE, 3 * HUGE_PAGE] {
            let mut pages = Pages::with_capacity(capacity);
            let mut expected = Vec::new();
            for step in 0..300_usize {
                let bytes = vec![step as i8; 40 * step];
                pages.push(&bytes);
                expected.extend_from_slice(&bytes);
            }
            assert!(pages.as_slice() == expected && pages.len() == expected.len());
            pages.as_mut_slice()[5] = 77;
            assert_eq!(pages.as_slice()[5], 77);
            pages.wipe();
            assert!(pages.as_slice().iter().all(|byte| *byte == 0) && pages.len() == expected.len());
        }
    }
}

//! Memory for the codes of a block: on huge pages where they fill one and the system has them.
//!
//! A scan runs at the speed of memory, and with pages of 4 KiB a tenth to a quarter of that goes into address translation.
//! Linux gives huge pages only to mappings that ask for them.

use memmap2::MmapMut;

/// A huge page of 64-bit x86 and of most ARM systems.
pub(super) const HUGE_PAGE: usize = 2 << 20;

/// Fewer bytes than this would waste too much of a huge page.
const HUGE_FROM: usize = HUGE_PAGE / 4 * 3;

/// Bytes that grow at the end, up to a capacity.
pub(super) struct Pages(Store);

enum Store {
    Small(Vec<i8>),
    Huge { map: MmapMut, start: usize, length: usize, capacity: usize },
}

impl Pages {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(huge(bytes).unwrap_or_else(|| Store::Small(Vec::with_capacity(bytes))))
    }

    pub(super) fn as_slice(&self) -> &[i8] {
        match &self.0 {
            Store::Small(bytes) => bytes,
            Store::Huge { map, start, length, .. } => bytemuck::cast_slice(&map[*start..start + length]),
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [i8] {
        match &mut self.0 {
            Store::Small(bytes) => bytes,
            Store::Huge { map, start, length, .. } => bytemuck::cast_slice_mut(&mut map[*start..*start + *length]),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn capacity(&self) -> usize {
        match &self.0 {
            Store::Small(bytes) => bytes.capacity(),
            Store::Huge { capacity, .. } => *capacity,
        }
    }

    pub(super) fn push(&mut self, bytes: &[i8]) {
        if self.capacity() - self.len() < bytes.len() {
            self.reserve(self.len().max(bytes.len()));
        }
        match &mut self.0 {
            Store::Small(old) => old.extend_from_slice(bytes),
            Store::Huge { map, start, length, .. } => {
                let end = *start + *length;
                map[end..end + bytes.len()].copy_from_slice(bytemuck::cast_slice(bytes));
                *length += bytes.len();
            }
        }
    }

    /// Room for so many bytes more; what moves leaves no copy behind.
    pub(super) fn reserve(&mut self, bytes: usize) {
        if self.capacity() - self.len() < bytes {
            let mut new = Self::with_capacity(self.len() + bytes);
            new.push(self.as_slice());
            self.wipe();
            *self = new;
        }
    }

    /// Overwrites everything with zeros.
    pub(super) fn wipe(&mut self) {
        let bytes = self.as_mut_slice();
        bytes.fill(0);
        std::hint::black_box(bytes);
    }
}

/// None where a huge page would be mostly empty, or where the system has none.
#[cfg(target_os = "linux")]
fn huge(bytes: usize) -> Option<Store> {
    if bytes < HUGE_FROM {
        return None;
    }
    let capacity = bytes.next_multiple_of(HUGE_PAGE);
    // The part before the first boundary is never touched, so it takes addresses and no memory.
    let map = memmap2::MmapOptions::new().len(capacity + HUGE_PAGE).map_anon().ok()?;
    map.advise(memmap2::Advice::HugePage).ok()?;
    let start = map.as_ptr().align_offset(HUGE_PAGE);
    (start <= HUGE_PAGE).then_some(Store::Huge { map, start, length: 0, capacity })
}

#[cfg(not(target_os = "linux"))]
fn huge(_bytes: usize) -> Option<Store> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_there_on_pages_of_either_kind() {
        for capacity in [0, 100, HUGE_FROM, 3 * HUGE_PAGE] {
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

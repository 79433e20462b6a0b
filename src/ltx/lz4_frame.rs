//! LZ4 frames, in which ltx before 0.5.2 stored each page. This module parses the frame; `lz4_flex` decompresses the blocks in it.
//!
//! The layout is the LZ4 frame format, version 1.6.4, little-endian. A page is one frame, which can have several blocks, linked or
//! independent. Dictionaries, skippable frames and further frames are rejected, because no writer of LTX files produces them.

use super::PageFault;
use super::xxh32::xxh32;
use lz4_flex::block;

const MAGIC: [u8; 4] = 0x184d_2204u32.to_le_bytes();
/// The bit in the size of a block that means that the block is not compressed.
const STORED: u32 = 1 << 31;

/// The flags of a frame.
mod flag {
    pub const VERSION_MASK: u8 = 0b1100_0000;
    pub const VERSION: u8 = 0b0100_0000;
    /// No block refers to the previous ones.
    pub const INDEPENDENT: u8 = 1 << 5;
    pub const BLOCK_CHECKSUMS: u8 = 1 << 4;
    pub const CONTENT_SIZE: u8 = 1 << 3;
    pub const CONTENT_CHECKSUM: u8 = 1 << 2;
    /// A reserved bit, and the bit that requires a dictionary.
    pub const UNSUPPORTED: u8 = 0b11;
}

/// Decodes a frame that fills `page` exactly. Verifies every checksum in it.
pub(super) fn decode(frame: &[u8], page: &mut [u8]) -> Result<(), PageFault> {
    let mut rest = frame;
    let Descriptor { flags, content_size } = Descriptor::parse(&mut rest)?;
    if let Some(size) = content_size.filter(|size| *size != page.len() as u64) {
        return Err(PageFault::Length(size));
    }
    let mut filled = 0;
    while let Some(block) = Block::next(&mut rest, flags & flag::BLOCK_CHECKSUMS != 0)? {
        let (before, free) = page.split_at_mut(filled);
        let before = if flags & flag::INDEPENDENT == 0 { before } else { &mut [] };
        filled += block.decode(before, free)?;
    }
    if filled != page.len() {
        return Err(PageFault::Length(filled as u64));
    }
    if flags & flag::CONTENT_CHECKSUM != 0 && u32::from_le_bytes(take(&mut rest)?) != xxh32(page) {
        return Err(PageFault::Checksum);
    }
    if rest.is_empty() { Ok(()) } else { Err(PageFault::Leftover(rest.len())) }
}

/// Appends a frame as ltx before 0.5.2 wrote it: one block of at most 64 KiB, and a checksum of the content.
pub(super) fn encode(page: &[u8], file: &mut Vec<u8>) {
    const LARGEST_BLOCK: u8 = 4 << 4;
    let descriptor = [flag::VERSION | flag::INDEPENDENT | flag::CONTENT_CHECKSUM, LARGEST_BLOCK];
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&descriptor);
    file.push(header_checksum(&descriptor));
    let compressed = block::compress(page);
    let (stored, data) = if compressed.len() < page.len() { (0, &compressed[..]) } else { (STORED, page) };
    file.extend_from_slice(&(data.len() as u32 | stored).to_le_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(&0u32.to_le_bytes());
    file.extend_from_slice(&xxh32(page).to_le_bytes());
}

/// The descriptor of a frame. The maximum block size is checked but not used: the page size limits the output of a block, and the length
/// of the frame its input.
struct Descriptor {
    flags: u8,
    content_size: Option<u64>,
}

impl Descriptor {
    fn parse(rest: &mut &[u8]) -> Result<Descriptor, PageFault> {
        if take(rest)? != MAGIC {
            return Err(PageFault::Lz4Header);
        }
        let start = *rest;
        let [flags, block_maximum] = take(rest)?;
        let version_is_known = flags & flag::VERSION_MASK == flag::VERSION;
        let maximum_is_known = block_maximum & 0b1000_1111 == 0 && block_maximum >> 4 >= 4;
        if !version_is_known || !maximum_is_known || flags & flag::UNSUPPORTED != 0 {
            return Err(PageFault::Lz4Header);
        }
        let has_size = flags & flag::CONTENT_SIZE != 0;
        let content_size = if has_size { Some(u64::from_le_bytes(take(rest)?)) } else { None };
        let descriptor = &start[..start.len() - rest.len()];
        let [checksum] = take(rest)?;
        if checksum != header_checksum(descriptor) {
            return Err(PageFault::Lz4Header);
        }
        Ok(Descriptor { flags, content_size })
    }
}

/// Returns the checksum byte at the end of a frame's header.
fn header_checksum(descriptor: &[u8]) -> u8 {
    (xxh32(descriptor) >> 8) as u8
}

/// A block of a frame.
struct Block<'a> {
    data: &'a [u8],
    is_stored: bool,
}

impl<'a> Block<'a> {
    /// Takes the next block from the start of `rest`. Returns None at the end mark.
    fn next(rest: &mut &'a [u8], has_checksum: bool) -> Result<Option<Block<'a>>, PageFault> {
        let size = u32::from_le_bytes(take(rest)?);
        if size == 0 {
            return Ok(None);
        }
        let (data, after) = rest.split_at_checked((size & !STORED) as usize).ok_or(PageFault::Cut)?;
        *rest = after;
        if has_checksum && u32::from_le_bytes(take(rest)?) != xxh32(data) {
            return Err(PageFault::Checksum);
        }
        Ok(Some(Block { data, is_stored: size & STORED != 0 }))
    }

    /// Decodes the block to the start of `free`, and returns its decoded length. A linked block refers to the content in `before`.
    fn decode(&self, before: &[u8], free: &mut [u8]) -> Result<usize, PageFault> {
        if self.is_stored {
            free.get_mut(..self.data.len()).ok_or(PageFault::Lz4)?.copy_from_slice(self.data);
            return Ok(self.data.len());
        }
        block::decompress_into_with_dict(self.data, free, before).map_err(|_| PageFault::Lz4)
    }
}

/// Takes `N` bytes from the start of `bytes`.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], PageFault> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(PageFault::Cut)?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a frame from the two bytes of the descriptor, its optional fields, and the bytes after the header.
    fn frame(flags: u8, block_maximum: u8, optional: &[u8], body: &[u8]) -> Vec<u8> {
        let descriptor = [&[flags, block_maximum], optional].concat();
        [&MAGIC[..], &descriptor, &[header_checksum(&descriptor)], body].concat()
    }

    fn stored(data: &[u8]) -> Vec<u8> {
        [&(data.len() as u32 | STORED).to_le_bytes()[..], data].concat()
    }

    fn decoded<const N: usize>(frame: &[u8]) -> Result<[u8; N], PageFault> {
        let mut page = [0xee; N];
        decode(frame, &mut page).map(|()| page)
    }

    #[test]
    fn a_page_that_does_not_compress_is_stored() {
        let page: [u8; 512] = std::array::from_fn(|i| xxh32(&i.to_le_bytes()) as u8);
        let mut file = Vec::new();
        encode(&page, &mut file);
        assert_eq!(file[7..11], (512 | STORED).to_le_bytes());
        assert_eq!(decoded(&file), Ok(page));
    }

    #[test]
    fn every_option_of_the_format_is_decoded() {
        let page = *b"eight by";
        let block = stored(&page);
        let checked = [&block[..], &xxh32(&page).to_le_bytes()].concat();
        let end = [0; 4];
        let size = 8u64.to_le_bytes();
        let sum = xxh32(&page).to_le_bytes();
        assert_eq!(decoded(&frame(0x60, 0x40, &[], &[&block[..], &end].concat())), Ok(page));
        assert_eq!(decoded(&frame(0x60, 0x70, &[], &[&block[..], &end].concat())), Ok(page));
        assert_eq!(decoded(&frame(0x70, 0x40, &[], &[&checked[..], &end].concat())), Ok(page));
        assert_eq!(decoded(&frame(0x68, 0x40, &size, &[&block[..], &end].concat())), Ok(page));
        assert_eq!(decoded(&frame(0x7c, 0x40, &size, &[&checked[..], &end, &sum].concat())), Ok(page));
    }

    /// The second block copies four bytes from four bytes back, which are the first block if the blocks are linked.
    #[test]
    fn linked_blocks_refer_back_and_independent_ones_do_not() {
        let back = [5, 0, 0, 0, 0x00, 4, 0, 0x10, b'!'];
        let body = [&stored(b"abcd")[..], &back, &[0; 4]].concat();
        assert_eq!(decoded(&frame(0x40, 0x40, &[], &body)), Ok(*b"abcdabcd!"));
        assert_eq!(decoded::<9>(&frame(0x60, 0x40, &[], &body)), Err(PageFault::Lz4));
    }

    #[test]
    fn invalid_headers_are_rejected() {
        let body = [&stored(b"abcd")[..], &[0; 4]].concat();
        assert_eq!(decoded(&frame(0x60, 0x40, &[], &body)), Ok(*b"abcd"));
        let with_dictionary = frame(0x61, 0x40, &[1, 2, 3, 4], &body);
        let bad = [(0x20, 0x40), (0xa0, 0x40), (0x62, 0x40), (0x60, 0x30), (0x60, 0x41), (0x60, 0xc0)];
        let mut frames: Vec<_> = bad.iter().map(|(flags, max)| frame(*flags, *max, &[], &body)).collect();
        frames.push(with_dictionary);
        let mut flipped = frame(0x60, 0x40, &[], &body);
        flipped[6] ^= 1;
        frames.push(flipped);
        let mut skippable = frame(0x60, 0x40, &[], &body);
        skippable[..4].copy_from_slice(&0x184d_2a50u32.to_le_bytes());
        frames.push(skippable);
        for frame in frames {
            assert_eq!(decoded::<4>(&frame), Err(PageFault::Lz4Header), "{frame:02x?}");
        }
    }

    #[test]
    fn checksums_and_lengths_are_verified() {
        let block = stored(b"abcd");
        let wrong = [&block[..], &[1, 2, 3, 4, 0, 0, 0, 0]].concat();
        assert_eq!(decoded::<4>(&frame(0x70, 0x40, &[], &wrong)), Err(PageFault::Checksum));
        let wrong = [&block[..], &[0, 0, 0, 0, 1, 2, 3, 4]].concat();
        assert_eq!(decoded::<4>(&frame(0x64, 0x40, &[], &wrong)), Err(PageFault::Checksum));
        let body = [&block[..], &[0; 4]].concat();
        assert_eq!(decoded::<4>(&frame(0x68, 0x40, &u64::MAX.to_le_bytes(), &body)), Err(PageFault::Length(u64::MAX)));
        assert_eq!(decoded::<5>(&frame(0x60, 0x40, &[], &body)), Err(PageFault::Length(4)));
        assert_eq!(decoded::<3>(&frame(0x60, 0x40, &[], &body)), Err(PageFault::Lz4));
        let endless = (!STORED).to_le_bytes();
        assert_eq!(decoded::<4>(&frame(0x60, 0x40, &[], &endless)), Err(PageFault::Cut));
    }
}

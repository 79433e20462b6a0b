//! The frame of a page: the form in which a file contains it.

use super::checksum::Checksum;
use super::page_header::PAGE_HEADER;
use super::sums::PageSum;
use super::{LtxError, PageFault, lz4_frame};
use lz4_flex::block;

/// The compression format of pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Form {
    /// The size of the data and one LZ4 block, as ltx 0.5.2 and later write it.
    #[default]
    Block,
    /// One LZ4 frame, as ltx before 0.5.2 wrote it. Only tests write it.
    Frame,
}

/// The flag in a page header that means that a size and one LZ4 block follow. Without it, an LZ4 frame follows.
const SIZED: u16 = 1;

/// Decodes the frame of page `pgno` into `page`, whose length is the page size. The frame has exactly the bytes that the index specifies.
///
/// After an error the content of `page` is unspecified.
pub fn decode_page(frame: &[u8], pgno: u32, page: &mut [u8]) -> Result<(), LtxError> {
    let decoded = Frame::parse(frame, pgno).and_then(|frame| frame.decode(page));
    decoded.map_err(|fault| fault.of(pgno))
}

/// As [`decode_page`], and returns what the page contributes to the checksum of its file.
pub fn decode_and_sum(frame: &[u8], pgno: u32, page: &mut [u8]) -> Result<PageSum, LtxError> {
    let frame = Frame::parse(frame, pgno).map_err(|fault| fault.of(pgno))?;
    frame.decode(page).map_err(|fault| fault.of(pgno))?;
    let mut checksum = Checksum::new();
    checksum.update(frame.head);
    checksum.update(page);
    Ok(PageSum { crc: checksum.crc(), length: (frame.head.len() + page.len()) as u32 })
}

/// Returns what a page contributes to the checksum of its file, without its frame. `block_size` is the size of its LZ4 block, None if it is
/// in an LZ4 frame.
pub fn page_sum(pgno: u32, block_size: Option<u32>, page: &[u8]) -> PageSum {
    let mut head = [0; PAGE_HEADER + 4];
    head[..4].copy_from_slice(&pgno.to_be_bytes());
    let length = match block_size {
        Some(size) => {
            head[4..PAGE_HEADER].copy_from_slice(&SIZED.to_be_bytes());
            head[PAGE_HEADER..].copy_from_slice(&size.to_be_bytes());
            head.len()
        }
        None => PAGE_HEADER,
    };
    let mut checksum = Checksum::new();
    checksum.update(&head[..length]);
    checksum.update(page);
    PageSum { crc: checksum.crc(), length: (length + page.len()) as u32 }
}

/// A frame, split into its parts.
pub(super) struct Frame<'a> {
    /// The page header, and the size if there is one. The checksum of the file covers these bytes.
    pub(super) head: &'a [u8],
    data: &'a [u8],
    form: Form,
}

impl<'a> Frame<'a> {
    /// Parses the frame of page `pgno`. The compressed data is not checked.
    pub(super) fn parse(frame: &'a [u8], pgno: u32) -> Result<Frame<'a>, PageFault> {
        let ([p0, p1, p2, p3, f0, f1], rest) = frame.split_first_chunk::<PAGE_HEADER>().ok_or(PageFault::Cut)?;
        let found = u32::from_be_bytes([*p0, *p1, *p2, *p3]);
        if found != pgno {
            return Err(PageFault::Pgno(found));
        }
        match u16::from_be_bytes([*f0, *f1]) {
            0 => Ok(Frame { head: &frame[..PAGE_HEADER], data: rest, form: Form::Frame }),
            SIZED => {
                let (size, data) = rest.split_first_chunk::<4>().ok_or(PageFault::Cut)?;
                let said = u32::from_be_bytes(*size);
                if said as usize != data.len() {
                    return Err(PageFault::Size { said, real: data.len() });
                }
                Ok(Frame { head: &frame[..PAGE_HEADER + 4], data, form: Form::Block })
            }
            flags => Err(PageFault::Flags(flags)),
        }
    }

    /// Decompresses the page.
    pub(super) fn decode(&self, page: &mut [u8]) -> Result<(), PageFault> {
        match self.form {
            Form::Frame => lz4_frame::decode(self.data, page),
            Form::Block => {
                let length = block::decompress_into(self.data, page).map_err(|_| PageFault::Lz4)?;
                if length == page.len() { Ok(()) } else { Err(PageFault::Length(length as u64)) }
            }
        }
    }
}

/// Appends the frame of a page to a file. Returns the length of its head, see [`Frame::head`].
pub(super) fn encode_page(pgno: u32, page: &[u8], form: Form, file: &mut Vec<u8>) -> usize {
    file.extend_from_slice(&pgno.to_be_bytes());
    match form {
        Form::Frame => {
            file.extend_from_slice(&0u16.to_be_bytes());
            lz4_frame::encode(page, file);
            PAGE_HEADER
        }
        Form::Block => {
            let data = block::compress(page);
            file.extend_from_slice(&SIZED.to_be_bytes());
            file.extend_from_slice(&(data.len() as u32).to_be_bytes());
            file.extend_from_slice(&data);
            PAGE_HEADER + 4
        }
    }
}

/// Appends the frame of a page to a file, as [`encode_page`] does in the form [`Form::Block`]. `frame` is a valid frame of the page. Its
/// block is copied, if it has that form.
pub(super) fn copy_frame(pgno: u32, frame: &[u8], page: &[u8], file: &mut Vec<u8>) -> usize {
    if frame[4..PAGE_HEADER] != SIZED.to_be_bytes() {
        return encode_page(pgno, page, Form::Block, file);
    }
    file.extend_from_slice(frame);
    PAGE_HEADER + 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: [u8; 512] = [7; 512];

    fn frame(form: Form) -> Vec<u8> {
        let mut frame = Vec::new();
        encode_page(3, &PAGE, form, &mut frame);
        frame
    }

    fn fault(frame: &[u8], page_size: usize) -> PageFault {
        let Err(LtxError::Page { pgno: 3, fault }) = decode_page(frame, 3, &mut vec![0; page_size]) else {
            panic!("{frame:02x?} was decoded");
        };
        fault
    }

    #[test]
    fn both_forms_round_trip() {
        for form in [Form::Block, Form::Frame] {
            let mut page = [0; 512];
            assert_eq!(decode_page(&frame(form), 3, &mut page), Ok(()));
            assert_eq!(page, PAGE);
        }
    }

    #[test]
    fn the_sum_of_a_page_does_not_need_its_frame() {
        for (form, block_size) in [(Form::Block, true), (Form::Frame, false)] {
            let (frame, mut page) = (frame(form), [0; 512]);
            let block_size = block_size.then_some(frame.len() as u32 - 10);
            assert_eq!(decode_and_sum(&frame, 3, &mut page), Ok(page_sum(3, block_size, &page)));
        }
    }

    #[test]
    fn the_frame_of_another_page_is_rejected() {
        for form in [Form::Block, Form::Frame] {
            let mut other = frame(form);
            other[3] = 4;
            assert_eq!(fault(&other, 512), PageFault::Pgno(4));
            other[3] = 3;
            other[5] |= 2;
            assert!(matches!(fault(&other, 512), PageFault::Flags(_)));
        }
    }

    #[test]
    fn every_other_length_is_rejected() {
        for form in [Form::Block, Form::Frame] {
            let whole = frame(form);
            for length in 0..whole.len() {
                fault(&whole[..length], 512);
            }
            fault(&[&whole[..], &[0]].concat(), 512);
        }
        assert_eq!(fault(&frame(Form::Block)[..9], 512), PageFault::Cut);
        let longer = [&frame(Form::Frame)[..], &[0; 3]].concat();
        assert_eq!(fault(&longer, 512), PageFault::Leftover(3));
    }

    #[test]
    fn a_wrong_size_field_is_rejected() {
        let mut frame = frame(Form::Block);
        let real = frame.len() - 10;
        frame[6..10].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(fault(&frame, 512), PageFault::Size { said: u32::MAX, real });
    }

    #[test]
    fn a_page_of_another_size_is_rejected() {
        assert_eq!(fault(&frame(Form::Block), 1024), PageFault::Length(512));
        assert_eq!(fault(&frame(Form::Block), 511), PageFault::Lz4);
        for size in [511, 513, 1024, 0] {
            fault(&frame(Form::Frame), size);
        }
    }
}

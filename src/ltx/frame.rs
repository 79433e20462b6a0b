//! One page as a file holds it.

use super::checksum::Checksum;
use super::sums::PageSum;
use super::{Form, LtxError, PageFault, lz4_frame};
use lz4_flex::block;

/// Length of a page header in bytes: the page number and the flags.
pub(super) const PAGE_HEADER: usize = 6;
/// Stands behind the last page, in place of a page header.
pub const END_OF_PAGES: [u8; PAGE_HEADER] = [0; PAGE_HEADER];
/// The flag of a page header that a size follows, and behind it one LZ4 block. Else an LZ4 frame follows.
const SIZED: u16 = 1;

/// Decodes the frame of page `pgno`, exactly as the index delimits it, into `page`, as long as the page size.
///
/// On an error `page` holds anything.
pub fn decode_page(frame: &[u8], pgno: u32, page: &mut [u8]) -> Result<(), LtxError> {
    let decoded = Frame::parse(frame, pgno).and_then(|frame| frame.decode(page));
    decoded.map_err(|fault| fault.of(pgno))
}

/// As [`decode_page`], with what the page adds to the checksum of its file.
pub fn decode_and_sum(frame: &[u8], pgno: u32, page: &mut [u8]) -> Result<PageSum, LtxError> {
    let frame = Frame::parse(frame, pgno).map_err(|fault| fault.of(pgno))?;
    frame.decode(page).map_err(|fault| fault.of(pgno))?;
    let mut checksum = Checksum::new();
    checksum.update(frame.head);
    checksum.update(page);
    Ok(PageSum { crc: checksum.crc(), length: (frame.head.len() + page.len()) as u32 })
}

/// The parts of a page's frame.
pub(super) struct Frame<'a> {
    /// The page header, and the size if there is one: what the checksum of the file covers as it stands.
    pub(super) head: &'a [u8],
    data: &'a [u8],
    form: Form,
}

impl<'a> Frame<'a> {
    /// Takes the frame of page `pgno` apart. What its page is compressed to is not looked at.
    pub(super) fn parse(frame: &'a [u8], pgno: u32) -> Result<Frame<'a>, PageFault> {
        let ([p0, p1, p2, p3, f0, f1], behind) = frame.split_first_chunk::<PAGE_HEADER>().ok_or(PageFault::Cut)?;
        let found = u32::from_be_bytes([*p0, *p1, *p2, *p3]);
        if found != pgno {
            return Err(PageFault::Pgno(found));
        }
        match u16::from_be_bytes([*f0, *f1]) {
            0 => Ok(Frame { head: &frame[..PAGE_HEADER], data: behind, form: Form::Frame }),
            SIZED => {
                let (size, data) = behind.split_first_chunk::<4>().ok_or(PageFault::Cut)?;
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

/// Appends the frame of a page to a file. Answers the length of its head, see [`Frame::head`].
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
    fn both_forms_give_the_page_back() {
        for form in [Form::Block, Form::Frame] {
            let mut page = [0; 512];
            assert_eq!(decode_page(&frame(form), 3, &mut page), Ok(()));
            assert_eq!(page, PAGE);
        }
    }

    #[test]
    fn a_frame_must_be_the_one_asked_for() {
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
    fn every_cut_and_every_extension_is_noticed() {
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
    fn the_size_field_must_agree_with_the_index() {
        let mut frame = frame(Form::Block);
        let real = frame.len() - 10;
        frame[6..10].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(fault(&frame, 512), PageFault::Size { said: u32::MAX, real });
    }

    #[test]
    fn a_page_of_another_length_is_no_page() {
        assert_eq!(fault(&frame(Form::Block), 1024), PageFault::Length(512));
        assert_eq!(fault(&frame(Form::Block), 511), PageFault::Lz4);
        for size in [511, 513, 1024, 0] {
            fault(&frame(Form::Frame), size);
        }
    }
}

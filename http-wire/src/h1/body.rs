//! Bodies in: where the data is and where it ends (RFC 9112 sections 6 and 7).
//! Bytes of the connection go in piece by piece, ranges of them come out: nothing is copied or kept.
//! Who wants the data calls [`Decoder::decode`]; who only hands it on in chunks calls [`Decoder::pass`] and gets the chunks as
//! they are. Either way chunk extensions and trailers are checked, bounded and dropped.

use super::Malformed;
use crate::octets;
use std::ops::Range;

/// Most bytes of chunk extensions in one body: nobody uses them, and one byte of data with many of these is an attack.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// Most bytes of trailers.
const MAX_TRAILERS: u32 = 16 * 1024;
/// 16 hexadecimal digits fill 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// Most digits of a chunk size that is passed on as it stands: servers that keep it in 32 bits read that alike.
const MAX_PASSED_DIGITS: u8 = 8;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// One step of decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are dealt with, data included.
    pub consumed: usize,
    /// The data among them, or what is passed on; empty when there was none.
    pub data: Range<usize>,
}

/// Reads one body. Call [`Decoder::decode`] or [`Decoder::pass`], and always the same, with what is there until it consumes
/// nothing or is done.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Length(u64),
    UntilClose,
    Chunked(Chunked),
    Done,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None | BodyLength::Length(0) => State::Done,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::Chunked(Chunked::default()),
            BodyLength::UntilClose => State::UntilClose,
        };
        Decoder { state }
    }

    /// True when the body has ended: what follows belongs to nobody.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes of data still to come, where the head said so.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::UntilClose | State::Chunked(_) => None,
        }
    }

    /// Takes the next piece of the body from the front of `input`.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        self.step(input, Chunked::decode)
    }

    /// The same, but what comes out of a chunked body is still chunked: sizes, data and the end, and nothing else. Of what is
    /// malformed, the part before it comes out first.
    pub fn pass(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        self.step(input, Chunked::pass)
    }

    fn step(
        &mut self,
        input: &[u8],
        chunked_step: impl Fn(&mut Chunked, &[u8]) -> Result<Step, Malformed>,
    ) -> Result<Step, Malformed> {
        let step = match &mut self.state {
            State::Done => Step {
                consumed: 0,
                data: 0..0,
            },
            State::UntilClose => Step {
                consumed: input.len(),
                data: 0..input.len(),
            },
            State::Length(left) => {
                let taken = bounded(*left, input.len());
                *left -= taken as u64;
                Step {
                    consumed: taken,
                    data: 0..taken,
                }
            }
            State::Chunked(chunked) => chunked_step(chunked, input)?,
        };
        if matches!(
            self.state,
            State::Length(0) | State::Chunked(Chunked { at: At::End, .. })
        ) {
            self.state = State::Done;
        }
        Ok(step)
    }

    /// The connection ended: fine where that ends the body, else the body was cut.
    pub fn end(&mut self) -> Result<(), Malformed> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(Malformed::Cut),
        }
    }
}

/// A chunked body, byte by byte outside of the data.
#[derive(Clone, Debug, Default)]
struct Chunked {
    at: At,
    size: u64,
    digits: u8,
    extensions: u32,
    trailers: u32,
}

/// What the next byte is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

impl Chunked {
    fn decode(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let mut consumed = 0;
        while consumed < input.len() && self.at != At::End {
            if self.at == At::Data {
                let taken = bounded(self.size, input.len() - consumed);
                self.size -= taken as u64;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                let end = consumed + taken;
                return Ok(Step {
                    consumed: end,
                    data: consumed..end,
                });
            }
            self.at = self.next(input[consumed])?;
            consumed += 1;
        }
        Ok(Step {
            consumed,
            data: 0..0,
        })
    }

    fn pass(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let (mut start, mut end) = (0, 0);
        while end < input.len() && self.at != At::End {
            if self.at == At::Data {
                let taken = bounded(self.size, input.len() - end);
                self.size -= taken as u64;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                end += taken;
                continue;
            }
            let next = match self.next(input[end]) {
                Ok(_) if self.digits > MAX_PASSED_DIGITS => Err(Malformed::Chunk),
                next => next,
            };
            let is_dropped = match next {
                Ok(next) => is_extra(next) || self.at == At::TrailerLf,
                Err(_) if end > start => break,
                Err(malformed) => return Err(malformed),
            };
            self.at = next?;
            end += 1;
            if is_dropped && end - 1 > start {
                return Ok(Step {
                    consumed: end,
                    data: start..end - 1,
                });
            }
            if is_dropped {
                start = end;
            }
        }
        Ok(Step {
            consumed: end,
            data: start..end,
        })
    }

    fn next(&mut self, byte: u8) -> Result<At, Malformed> {
        match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeLf),
            (At::Size, b';') if self.digits > 0 => Ok(At::Extension),
            (At::Size, digit) => self.size_digit(digit),
            (At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, byte) if octets::is_value_byte(byte) => {
                count(&mut self.extensions, MAX_EXTENSIONS)?;
                Ok(At::Extension)
            }
            (At::SizeLf, b'\n') => {
                self.digits = 0;
                Ok(if self.size == 0 {
                    At::TrailerStart
                } else {
                    At::Data
                })
            }
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size),
            (At::SizeLf | At::DataCr | At::DataLf, _) => Err(Malformed::Chunk),
            (At::TrailerStart, b'\r') => Ok(At::EndLf),
            (At::EndLf, b'\n') => Ok(At::End),
            _ => self.trailer(byte),
        }
    }

    fn size_digit(&mut self, digit: u8) -> Result<At, Malformed> {
        let value = octets::hex(digit).ok_or(Malformed::Chunk)?;
        if self.digits == MAX_SIZE_DIGITS {
            return Err(Malformed::Chunk);
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(value);
        Ok(At::Size)
    }

    /// A trailer is a field line like any other; it is dropped, so only its shape matters.
    fn trailer(&mut self, byte: u8) -> Result<At, Malformed> {
        count(&mut self.trailers, MAX_TRAILERS)?;
        let is_token = octets::is_token_byte(byte);
        match (self.at, byte) {
            (At::TrailerStart | At::TrailerName, _) if is_token => Ok(At::TrailerName),
            (At::TrailerName, b':') => Ok(At::TrailerValue),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, byte) if octets::is_value_byte(byte) => Ok(At::TrailerValue),
            (At::TrailerLf, b'\n') => Ok(At::TrailerStart),
            _ => Err(Malformed::ChunkExtra),
        }
    }
}

/// True for what is neither size, data nor end.
fn is_extra(at: At) -> bool {
    matches!(
        at,
        At::Extension | At::TrailerName | At::TrailerValue | At::TrailerLf
    )
}

fn count(bytes: &mut u32, most: u32) -> Result<(), Malformed> {
    *bytes += 1;
    if *bytes > most {
        Err(Malformed::ChunkExtra)
    } else {
        Ok(())
    }
}

fn bounded(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

#[cfg(test)]
mod tests;

//! The kinds of faults, and what a store makes of each.

use crate::replica::testing::faults::store::RequestKind;
use crate::store::{StoreError, StoreErrorKind};
use std::time::Duration;
use tokio::time::sleep;

/// What is said of files that were replaced or deleted while they were read.
const GONE: [&str; 4] = ["change faster", "were deleted", "is too old", "have vanished"];

/// How long a store tries to connect, with its retries.
const RETRIES: Duration = Duration::from_millis(1300);

/// How long a request may take, with its retries.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// What goes wrong with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nothing listens.
    Refused,
    /// The request is carried out, and the connection is reset before the response.
    Reset,
    /// There is no response.
    Hang,
    /// The response stops in its body. The request was carried out.
    HangInBody,
    /// The response is complete just before the deadline.
    Trickle,
    /// The body is shorter than the range.
    Short,
    /// The body is longer than the range.
    Long,
    /// The body does not end.
    Endless,
    /// Every byte is another one.
    WrongBytes,
    /// One bit is flipped.
    WrongBit,
    /// The response is that of an object with the same bytes and another version.
    OtherVersion,
    Status403,
    Status404,
    Status412,
    /// The server requests a pause that the deadline permits.
    Status429,
    /// The server requests a pause that is longer than the deadline.
    Status503,
    /// A proxy responds with its sign-in page.
    SignIn,
    /// A listing from before the last files were written.
    StaleListing,
    /// A listing that is not one instant: it lacks every other file.
    TornListing,
}

/// What happens to a request.
pub(super) enum Effect {
    /// It fails before it is carried out.
    Fails(StoreError),
    /// It is carried out, and its response is lost.
    ResponseLost(StoreError),
    /// It is carried out, and its response may be changed.
    CarriedOut,
}

impl Fault {
    pub const ALL: [Fault; 19] = [
        Fault::Refused,
        Fault::Reset,
        Fault::Hang,
        Fault::HangInBody,
        Fault::Trickle,
        Fault::Short,
        Fault::Long,
        Fault::Endless,
        Fault::WrongBytes,
        Fault::WrongBit,
        Fault::OtherVersion,
        Fault::Status403,
        Fault::Status404,
        Fault::Status412,
        Fault::Status429,
        Fault::Status503,
        Fault::SignIn,
        Fault::StaleListing,
        Fault::TornListing,
    ];

    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Refused => "connection refused",
            Fault::Reset => "connection reset",
            Fault::Hang => "hangs before the header",
            Fault::HangInBody => "hangs in the body",
            Fault::Trickle => "trickles",
            Fault::Short => "short body",
            Fault::Long => "long body",
            Fault::Endless => "endless body",
            Fault::WrongBytes => "wrong bytes",
            Fault::WrongBit => "wrong bit",
            Fault::OtherVersion => "other version",
            Fault::Status403 => "403",
            Fault::Status404 => "404",
            Fault::Status412 => "412",
            Fault::Status429 => "429, pause of 3 s",
            Fault::Status503 => "503, pause of 60 s",
            Fault::SignIn => "sign-in page",
            Fault::StaleListing => "stale listing",
            Fault::TornListing => "torn listing",
        }
    }

    /// Returns whether the fault can happen to such a request.
    pub fn concerns(self, request: RequestKind) -> bool {
        match self {
            Fault::StaleListing | Fault::TornListing => request == RequestKind::List,
            Fault::WrongBytes | Fault::WrongBit => request == RequestKind::Read,
            Fault::OtherVersion => matches!(request, RequestKind::List | RequestKind::Read),
            Fault::Status412 => matches!(request, RequestKind::Read | RequestKind::Create),
            _ => true,
        }
    }

    /// Returns parts of error texts that name the fault. One of them must be in the error of an operation that meets it.
    pub fn causes(self) -> &'static [&'static str] {
        match self {
            Fault::Refused => &["connection refused"],
            Fault::Reset => &["connection reset"],
            Fault::Hang | Fault::HangInBody => &["no response within", "has not been answered", "takes too long"],
            Fault::Trickle => &["has not been answered", "takes too long", "takes longer", "has sent nothing"],
            Fault::Short => &["fewer bytes"],
            Fault::Long => &["more than the"],
            Fault::Endless => &["more than the", "has not been answered", "takes too long"],
            Fault::WrongBytes | Fault::WrongBit => &["is damaged", "wrong bytes", "cannot be read from their files"],
            Fault::OtherVersion => &GONE,
            // A creation that is refused although nothing is there looks like a lost response, or like a server that ignores conditions.
            Fault::Status412 => &[
                "change",
                "were deleted",
                "is too old",
                "have vanished",
                "contradict each other",
                "conditional writes",
            ],
            Fault::Status403 => &["denies access"],
            Fault::Status404 => &[
                "no backup is found",
                "is empty",
                "change faster",
                "were deleted",
                "is too old",
                "have vanished",
                "no state",
                "does not exist",
                "do not have every page",
                "contradict each other",
            ],
            Fault::Status429 => &["has not been answered", "takes too long", "takes longer"],
            Fault::Status503 => &["requests a pause of 60 seconds"],
            Fault::SignIn => &["is not a response of the store"],
            Fault::StaleListing | Fault::TornListing => {
                &["no backup is found", "no state", "do not have every page", "contradict each other"]
            }
        }
    }

    /// Takes the time of the fault, and returns what happens to the request.
    pub async fn happen(self, request: RequestKind) -> Effect {
        let error = |kind, cause: &str| StoreError::new(kind, "memory://faulty", cause);
        let unreachable = |cause| error(StoreErrorKind::Unreachable, cause);
        let invalid = |cause| error(StoreErrorKind::Protocol, cause);
        let is_write = matches!(request, RequestKind::Create | RequestKind::Delete);
        let (time, effect) = match self {
            Fault::Refused => (RETRIES, Effect::Fails(unreachable("connection refused"))),
            Fault::Reset => (RETRIES, Effect::ResponseLost(unreachable("connection reset"))),
            Fault::Hang => (DEADLINE, Effect::Fails(unreachable("no response within 10 seconds"))),
            Fault::HangInBody => (DEADLINE, Effect::ResponseLost(unreachable("no response within 10 seconds"))),
            Fault::Trickle => (DEADLINE - Duration::from_millis(100), Effect::CarriedOut),
            Fault::Short => (Duration::ZERO, Effect::ResponseLost(invalid("fewer bytes than announced"))),
            Fault::Long => (Duration::ZERO, Effect::ResponseLost(invalid("more than the expected bytes"))),
            Fault::Endless => (DEADLINE / 2, Effect::ResponseLost(invalid("more than the expected bytes"))),
            Fault::Status403 => (
                Duration::ZERO,
                Effect::Fails(error(StoreErrorKind::Denied, "the server denies access (AccessDenied)")),
            ),
            Fault::Status404 if is_write => {
                (Duration::ZERO, Effect::Fails(error(StoreErrorKind::Config, "the bucket does not exist")))
            }
            Fault::Status404 if request == RequestKind::Read => {
                (Duration::ZERO, Effect::Fails(error(StoreErrorKind::NotFound, "there is no such file")))
            }
            Fault::Status412 if request == RequestKind::Read => {
                (Duration::ZERO, Effect::Fails(error(StoreErrorKind::Changed, "the file was replaced")))
            }
            Fault::Status429 => (Duration::from_secs(3), Effect::CarriedOut),
            Fault::Status503 => {
                let cause = "it requests a pause of 60 seconds, but the request may take 10 seconds in total";
                (Duration::ZERO, Effect::Fails(unreachable(cause)))
            }
            Fault::SignIn => (Duration::ZERO, Effect::Fails(invalid("this is not a response of the store"))),
            _ => (Duration::ZERO, Effect::CarriedOut),
        };
        sleep(time).await;
        effect
    }
}

//! The decision about a request: which right it needs, and whether its caller has it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use super::register::{Client, Register};
use super::rights::{Right, Rights};

/// The access to entities over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityAccess {
    /// Nobody has it; requests are answered with 404.
    Off,
    /// Everybody who reaches the port has it.
    Open,
    /// Clients with the right `entities` have it.
    Token,
}

/// The part of the interface to which a path belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    /// `/health/live` and `/health/ready`, which everybody may ask.
    Health,
    /// `/metrics` and `/cluster`.
    Observation,
    /// `/entities/..`.
    Entities,
    /// `/node/..`, which is kept for commands to a node.
    Node,
    /// Any other path, with an application that has routes of its own.
    Application,
    /// Any other path, also one that does not exist.
    Other,
}

impl Area {
    /// The area of a path, as routes take it: byte for byte, without decoding.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/health/live" | "/health/ready" => Self::Health,
            "/metrics" | "/cluster" => Self::Observation,
            _ if path.starts_with("/entities/") => Self::Entities,
            _ if path.starts_with("/node/") => Self::Node,
            _ => Self::Other,
        }
    }

    /// The name, for the audit log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Observation => "observation",
            Self::Entities => "entities",
            Self::Node => "node",
            Self::Application => "application",
            Self::Other => "other",
        }
    }

    /// The right that a request needs; `None` when everybody may ask.
    fn needs(self) -> Option<Right> {
        match self {
            Self::Health => None,
            Self::Observation => Some(Right::Read),
            Self::Entities | Self::Application => Some(Right::Entities),
            Self::Node => Some(Right::Operate),
            Self::Other => Some(Right::Admin),
        }
    }
}

/// The sender of a request. A route of an application takes it as an argument.
///
/// A node without `http.tokens_file` knows nobody: every caller is `Anonymous`, without rights, and
/// may ask all the same. So is every caller of a route that is tested without a node.
///
/// ```
/// use antiphon_runtime::admin::{Caller, Right};
///
/// async fn who(caller: Caller) -> String {
///     let may = if caller.may(Right::Admin) { "may close shops" } else { "may not close shops" };
///     let who = if caller.is_known() { caller.name() } else { "a stranger" };
///     format!("{who} {may}")
/// }
/// # let routes: axum::Router = axum::Router::new().route("/who", axum::routing::get(who));
/// # drop(routes);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Shows neither a token nor a certificate.
    Anonymous,
    /// Shows a token that is not in the tokens file. No route sees this caller: its requests are
    /// refused before.
    Stranger,
    /// Shows a certificate of an authority in `http.tls.ca_file` that has no line in the tokens
    /// file. It has no rights.
    Unregistered {
        /// The first name of the certificate, escaped: whoever has the certificate signed chooses
        /// it, and it may be the name of a line in the tokens file. For a log only.
        claims: Arc<str>,
    },
    /// Shows a certificate of such an authority that has a line in the tokens file.
    Certificate {
        /// The name in the tokens file.
        name: Arc<str>,
        /// The rights in the tokens file.
        rights: Rights,
    },
    /// Shows a token of the tokens file.
    Token {
        /// The name in the tokens file.
        name: Arc<str>,
        /// The rights in the tokens file.
        rights: Rights,
    },
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self::Anonymous))
    }
}

impl Caller {
    /// Finds the sender by the token that it sends, or else by the names in its certificate, whose
    /// authority is known. A certificate that is not in the register has no rights.
    pub(crate) fn find(register: &Register, token: Option<&str>, names: &[String]) -> Self {
        let of = |client: &Client| (client.name.clone(), client.rights.clone());
        if let Some(token) = token {
            return match register.by_token(token).map(of) {
                Some((name, rights)) => Self::Token { name, rights },
                None => Self::Stranger,
            };
        }
        if let Some((name, rights)) = register.by_certificate(names).map(of) {
            return Self::Certificate { name, rights };
        }
        match names.first() {
            Some(name) => {
                Self::Unregistered { claims: antiphon_base::text::foreign(name).to_string().into() }
            }
            None => Self::Anonymous,
        }
    }

    /// The name in the tokens file; `anonymous` for every caller that is not
    /// [known](Self::is_known). A line may have that name too: decide by `is_known` first.
    pub fn name(&self) -> &str {
        match self {
            Self::Anonymous | Self::Stranger | Self::Unregistered { .. } => "anonymous",
            Self::Certificate { name, .. } | Self::Token { name, .. } => name,
        }
    }

    /// Returns whether the caller has a line in the tokens file, whose name it then has.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Anonymous | Self::Stranger | Self::Unregistered { .. } => false,
            Self::Certificate { .. } | Self::Token { .. } => true,
        }
    }

    /// The name for the audit log, which also has the one that an unregistered certificate claims;
    /// [`shows`](Self::shows) tells it apart.
    pub(crate) fn logged(&self) -> &str {
        match self {
            Self::Unregistered { claims } => claims,
            Self::Anonymous | Self::Stranger | Self::Certificate { .. } | Self::Token { .. } => {
                self.name()
            }
        }
    }

    /// The kind of proof that the caller shows, for the audit log.
    pub(crate) fn shows(&self) -> &'static str {
        match self {
            Self::Anonymous => "nothing",
            Self::Stranger => "a wrong token",
            Self::Unregistered { .. } => "an unregistered certificate",
            Self::Certificate { .. } => "a certificate",
            Self::Token { .. } => "a token",
        }
    }

    /// Returns whether the caller has this right, by itself or within another one.
    pub fn may(&self, right: Right) -> bool {
        match self {
            Self::Anonymous | Self::Stranger | Self::Unregistered { .. } => false,
            Self::Certificate { rights, .. } | Self::Token { rights, .. } => rights.allow(right),
        }
    }
}

/// The answer to the question whether a request may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request goes on.
    Allowed,
    /// The entity interface is off.
    EntitiesOff,
    /// The request needs a token or a certificate, and shows none.
    NoProof,
    /// The request shows a token that nobody has.
    WrongToken,
    /// The caller is known, and lacks this right.
    Lacks(Right),
}

/// The rules of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// True with a tokens file. Without one, everybody may do everything that is not off.
    pub(crate) has_register: bool,
    pub(crate) entities: EntityAccess,
    /// True when every other path belongs to the application.
    pub(crate) has_application: bool,
}

impl Policy {
    /// The area of a path at this node.
    pub(crate) fn area(self, path: &str) -> Area {
        let area = Area::of(path);
        if area == Area::Other && self.has_application { Area::Application } else { area }
    }

    /// Decides about a request to an area. A wrong token is refused where none is needed too, so
    /// that its bearer notices; the health is the exception.
    pub(crate) fn verdict(self, area: Area, caller: &Caller) -> Verdict {
        let Some(right) = area.needs() else { return Verdict::Allowed };
        let is_switched = matches!(area, Area::Entities | Area::Application);
        if is_switched && self.entities == EntityAccess::Off {
            return Verdict::EntitiesOff;
        }
        if !self.has_register {
            return Verdict::Allowed;
        }
        if *caller == Caller::Stranger {
            return Verdict::WrongToken;
        }
        let is_open = is_switched && self.entities == EntityAccess::Open;
        if is_open || caller.may(right) {
            return Verdict::Allowed;
        }
        match caller {
            Caller::Anonymous | Caller::Stranger => Verdict::NoProof,
            Caller::Unregistered { .. } | Caller::Certificate { .. } | Caller::Token { .. } => {
                Verdict::Lacks(right)
            }
        }
    }

    /// Returns whether nobody knows who the caller is, although each client has a proof.
    pub(crate) fn is_stranger(self, caller: &Caller) -> bool {
        self.has_register && matches!(caller, Caller::Anonymous | Caller::Stranger)
    }

    /// Returns whether the caller gets the reasons and warnings of the health.
    pub(crate) fn shows_details(self, caller: &Caller) -> bool {
        !self.has_register || caller.may(Right::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 6] =
        ["/health/ready", "/metrics", "/cluster", "/entities/counter/x", "/node/leave", "/other"];

    fn token(rights: &[Right]) -> Caller {
        Caller::Token { name: "t".into(), rights: Rights::of(rights.iter().copied()) }
    }

    fn verdicts(policy: Policy, caller: &Caller) -> [Verdict; 6] {
        PATHS.map(|path| policy.verdict(Area::of(path), caller))
    }

    #[test]
    fn every_caller_may_do_exactly_what_its_rights_say() {
        use Right::{Admin, Entities, Operate, Read};
        use Verdict::{Allowed, Lacks, NoProof, WrongToken};
        let policy =
            Policy { has_register: true, entities: EntityAccess::Token, has_application: false };
        let (no, bad) = (NoProof, WrongToken);
        let certificate = |rights: &[Right]| Caller::Certificate {
            name: "c".into(),
            rights: Rights::of(rights.iter().copied()),
        };
        #[rustfmt::skip]
        let table = [
            (Caller::Anonymous,         [Allowed, no, no, no, no, no]),
            (Caller::Stranger,          [Allowed, bad, bad, bad, bad, bad]),
            (Caller::Unregistered { claims: "c".into() }, [Allowed, Lacks(Read), Lacks(Read), Lacks(Entities), Lacks(Operate), Lacks(Admin)]),
            (certificate(&[]),          [Allowed, Lacks(Read), Lacks(Read), Lacks(Entities), Lacks(Operate), Lacks(Admin)]),
            (certificate(&[Entities]),  [Allowed, Lacks(Read), Lacks(Read), Allowed, Lacks(Operate), Lacks(Admin)]),
            (token(&[Read]),            [Allowed, Allowed, Allowed, Lacks(Entities), Lacks(Operate), Lacks(Admin)]),
            (token(&[Entities]),        [Allowed, Lacks(Read), Lacks(Read), Allowed, Lacks(Operate), Lacks(Admin)]),
            (token(&[Operate]),         [Allowed, Allowed, Allowed, Lacks(Entities), Allowed, Lacks(Admin)]),
            (token(&[Admin]),           [Allowed; 6]),
        ];
        for (caller, expected) in table {
            assert_eq!(verdicts(policy, &caller), expected, "{caller:?}");
        }
    }

    #[test]
    fn paths_of_an_application_need_the_right_of_entities() {
        let entities = EntityAccess::Token;
        let with = |has_application| Policy { has_register: true, entities, has_application };
        let client = token(&[Right::Entities]);
        for path in ["/checkout", "/", "/other"] {
            let area = with(true).area(path);
            assert_eq!(area.name(), "application", "for the audit log");
            assert_eq!(with(true).verdict(area, &client), Verdict::Allowed, "{path}");
            assert_eq!(with(true).verdict(area, &Caller::Anonymous), Verdict::NoProof);
            assert_eq!(
                with(false).verdict(with(false).area(path), &client),
                Verdict::Lacks(Right::Admin)
            );
        }
        let node = with(true).area("/node/leave");
        assert_eq!(with(true).verdict(node, &client), Verdict::Lacks(Right::Operate));
        let off = Policy { entities: EntityAccess::Off, ..with(true) };
        assert_eq!(off.verdict(off.area("/checkout"), &client), Verdict::EntitiesOff);
    }

    #[test]
    fn entities_have_their_own_switch() {
        use Verdict::{Allowed, EntitiesOff, NoProof, WrongToken};
        let entity = Area::of("/entities/counter/x");
        for (has_register, entities, caller, expected) in [
            (false, EntityAccess::Open, Caller::Anonymous, Allowed),
            (false, EntityAccess::Off, Caller::Anonymous, EntitiesOff),
            (true, EntityAccess::Open, Caller::Anonymous, Allowed),
            (true, EntityAccess::Open, token(&[Right::Read]), Allowed),
            (true, EntityAccess::Open, Caller::Stranger, WrongToken),
            (true, EntityAccess::Off, token(&[Right::Admin]), EntitiesOff),
            (true, EntityAccess::Token, Caller::Anonymous, NoProof),
        ] {
            let policy = Policy { has_register, entities, has_application: false };
            assert_eq!(policy.verdict(entity, &caller), expected, "{policy:?} {caller:?}");
            let observation = policy.verdict(Area::Observation, &Caller::Anonymous);
            assert_eq!(observation == Allowed, !has_register, "the other paths are as before");
        }
    }

    #[test]
    fn details_of_the_health_need_the_right_to_read() {
        let with = |has_register| Policy {
            has_register,
            entities: EntityAccess::Open,
            has_application: false,
        };
        assert!(with(false).shows_details(&Caller::Anonymous));
        for (caller, expected) in [
            (Caller::Anonymous, false),
            (Caller::Stranger, false),
            (token(&[Right::Entities]), false),
            (token(&[Right::Read]), true),
            (token(&[Right::Operate]), true),
        ] {
            assert_eq!(with(true).shows_details(&caller), expected, "{caller:?}");
        }
    }

    #[test]
    fn paths_that_only_look_like_others_need_all_rights() {
        for path in
            ["/Metrics", "/metrics/", "//metrics", "/entities", "/%65ntities/a/b", "/health"]
        {
            assert_eq!(Area::of(path), Area::Other, "{path}");
        }
    }

    #[test]
    fn a_token_counts_before_a_certificate_and_a_wrong_one_is_no_certificate() {
        let register =
            Register::parse("c = { rights = [\"read\"], certificate = \"cn\" }").unwrap();
        let names = ["cn".to_owned()];
        let of = |token, names: &[String]| Caller::find(&register, token, names);
        assert_eq!(of(None, &names).name(), "c");
        assert_eq!(of(Some("x"), &names), Caller::Stranger);
        assert_eq!(of(None, &[]), Caller::Anonymous);
        let unknown = of(None, &["other\n".to_owned()]);
        assert_eq!((unknown.logged(), unknown.may(Right::Read)), (r"other\u{a}", false));
    }

    /// Whoever gets a certificate chooses the name in it.
    #[test]
    fn a_certificate_without_a_line_has_no_name_whatever_it_claims() {
        let text = format!("shop = {{ rights = [\"read\"], sha256 = \"{}\" }}", "0".repeat(64));
        let register = Register::parse(&text).unwrap();
        let forged = Caller::find(&register, None, &["shop".to_owned()]);
        assert_eq!((forged.name(), forged.is_known()), ("anonymous", false));
        assert_eq!((forged.logged(), forged.shows()), ("shop", "an unregistered certificate"));
        assert!(token(&[]).is_known() && !Caller::Stranger.is_known());
    }
}

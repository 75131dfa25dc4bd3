//! `antiphon token`: a token for a client of the HTTP interface, and its line in the tokens file.

use std::path::{Path, PathBuf};

use crate::prelude::*;
use crate::runtime::admin::{Register, Right, check_name, new_token};
use clap::Args;

use crate::app::commands::whole_file::{Edited, cannot, write};
use crate::app::output::say;

/// The arguments of `antiphon token`.
#[derive(Debug, Clone, Args)]
pub struct TokenArguments {
    /// Name of the client, as the audit log shows it.
    #[arg(long)]
    name: String,
    /// The rights of the client: `read`, `entities`, `operate`, `admin`, separated by commas.
    #[arg(long, required = true, value_delimiter = ',', value_parser = right)]
    rights: Vec<Right>,
    /// The tokens file, `http.tokens_file`: the line is added to it. It is made when it is missing,
    /// and running nodes read it again. Without this argument the line is printed.
    #[arg(long)]
    file: Option<PathBuf>,
    /// File that gets the token, which only its owner can read. Without this argument the token is
    /// printed.
    #[arg(long, conflicts_with = "certificate")]
    token_file: Option<PathBuf>,
    /// Replaces the line of a client with this name. Its old token is void when the nodes have read
    /// the file.
    #[arg(long, requires = "file")]
    replace: bool,
    /// The name in the certificate of the client, in place of a token: a URI of it, or its common
    /// name if it has no URI.
    #[arg(long, value_name = "NAME")]
    certificate: Option<String>,
}

fn right(text: &str) -> std::result::Result<Right, String> {
    let found = Right::ALL.into_iter().find(|(name, _)| *name == text);
    let names = Right::ALL.map(|(name, _)| name).join(", ");
    found.map(|(_, right)| right).ok_or_else(|| format!("expected one of {names}"))
}

/// Makes a token, and adds or prints its line. Returns `true`.
///
/// # Errors
/// `Rejected`, naming the argument or the file. The tokens file is unchanged then, except when the
/// file of the token cannot be written: `--replace` repeats the command.
pub fn run(arguments: &TokenArguments) -> Result<bool> {
    let TokenArguments { name, rights, file, token_file, replace, certificate } = arguments;
    check_name(name).map_err(|why| Error::rejected(format!("`--name` {name:?}: {why}")))?;
    let rights: Vec<String> = rights.iter().map(|right| format!("{:?}", right.name())).collect();
    let rights = rights.join(", ");
    let (token, line) = match certificate {
        Some(certificate) => {
            let certificate = toml::Value::from(certificate.as_str());
            (None, format!("{name} = {{ rights = [{rights}], certificate = {certificate} }}\n"))
        }
        None => {
            let (token, hash) = new_token()?;
            (Some(token), format!("{name} = {{ rights = [{rights}], sha256 = \"{hash}\" }}\n"))
        }
    };
    match file {
        Some(file) => add(file, name, &line, *replace)?,
        None => say!("# a line for `http.tokens_file`\n{}", line.trim_end())?,
    }
    match (token, token_file) {
        (None, _) => Ok(true),
        (Some(token), Some(path)) => {
            write(path, &format!("{}\n", token.expose()), 0o600).map(|()| true)
        }
        (Some(token), None) => {
            say!("# the token of {name}, which cannot be shown again")?;
            say!("{}", token.expose()).map(|()| true)
        }
    }
}

/// Adds a line to a tokens file. Other commands wait meanwhile, so that no line is lost.
fn add(file: &Path, name: &str, line: &str, replace: bool) -> Result<()> {
    let edited = Edited::lock(file)?;
    let before = edited.read()?;
    let is_of_name = |line: &&str| {
        line.trim_start().strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    if !replace && before.lines().any(|line| is_of_name(&line)) {
        return Err(Error::rejected(format!(
            "`--name`: {} has a client {name:?}: choose another name, or void its token with `--replace`",
            file.display()
        )));
    }
    let mut text: String =
        before.lines().filter(|line| !is_of_name(line)).map(|line| format!("{line}\n")).collect();
    text.push_str(line);
    Register::parse(&text).map_err(|error| cannot(file, &error))?;
    // it has no secret: a token cannot be found from its hash
    edited.replace(&text, 0o644)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn arguments(folder: &Path, name: &str) -> TokenArguments {
        TokenArguments {
            name: name.to_owned(),
            rights: vec![Right::Read],
            file: Some(folder.join("tokens.toml")),
            token_file: Some(folder.join(format!("{name}.token"))),
            replace: false,
            certificate: None,
        }
    }

    fn register(folder: &Path) -> Register {
        Register::read(&folder.join("tokens.toml")).unwrap()
    }

    fn token(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(format!("{name}.token"))).unwrap().trim().to_owned()
    }

    #[test]
    fn each_token_is_in_the_file_as_its_hash_and_a_replaced_one_is_void() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        run(&arguments(folder, "a")).unwrap();
        run(&arguments(folder, "b")).unwrap();
        let (a, b) = (token(folder, "a"), token(folder, "b"));
        for token in [&a, &b] {
            assert!(register(folder).knows(token));
        }
        assert!(!fs::read_to_string(folder.join("tokens.toml")).unwrap().contains(&a));
        let mode = fs::metadata(folder.join("a.token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let error = run(&arguments(folder, "a")).unwrap_err().to_string();
        assert!(error.contains("`--replace`"), "{error}");
        assert!(register(folder).knows(&a), "a refused command changes nothing");
        run(&TokenArguments { replace: true, ..arguments(folder, "a") }).unwrap();
        assert!(!register(folder).knows(&a) && register(folder).knows(&token(folder, "a")));
        assert!(register(folder).knows(&b));
    }

    #[test]
    fn commands_at_once_lose_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    for part in 0..10 {
                        run(&arguments(folder, &format!("c{number}-{part}"))).unwrap();
                    }
                });
            }
        });
        for number in 0..8 {
            for part in 0..10 {
                assert!(register(folder).knows(&token(folder, &format!("c{number}-{part}"))));
            }
        }
    }

    #[test]
    fn a_certificate_gets_rights_and_wrong_names_and_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let certificate = Some("antiphon://c/A/\"a\"".to_owned());
        let of = |name| TokenArguments {
            certificate: certificate.clone(),
            token_file: None,
            ..arguments(folder, name)
        };
        run(&of("ops")).unwrap();
        let twice = run(&of("other")).unwrap_err().to_string();
        assert!(twice.contains("same certificate"), "{twice}");
        for name in ["", "a b", "a.b", &"x".repeat(65)] {
            let error = run(&arguments(folder, name)).unwrap_err().to_string();
            assert!(error.contains("`--name`"), "{error}");
        }
        fs::write(folder.join("tokens.toml"), "damaged").unwrap();
        let error = run(&arguments(folder, "a")).unwrap_err().to_string();
        assert!(error.contains("tokens.toml"), "{error}");
        assert_eq!(fs::read_to_string(folder.join("tokens.toml")).unwrap(), "damaged");
        assert!(!folder.join("a.token").exists());
        assert!(right("read").is_ok() && right("write").unwrap_err().contains("operate"));
    }
}

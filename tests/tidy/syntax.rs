//! The shape of Rust code, as far as the rules need it: groups in brackets, attributes, and the end
//! of an item.

use std::collections::BTreeSet;

use crate::lexer::{Kind, Token};

/// Attributes before an item.
#[derive(Default)]
pub(crate) struct Attributes {
    pub(crate) is_test: bool,
    pub(crate) path: Option<&'static str>,
}

impl Attributes {
    pub(crate) fn add(&mut self, tokens: &[Token]) {
        let has = |word| tokens.iter().any(|token| token.is_word(word));
        self.is_test |= has("cfg") && has("test") && !has("not") && !has("any");
        if has("path") {
            let text = tokens.iter().find(|token| token.kind == Kind::Text);
            self.path = text.map(|token| token.text);
        }
    }
}

pub(crate) fn attribute_length(rest: &[Token]) -> usize {
    let open = rest.iter().take(3).position(|token| token.is("["));
    open.map_or(1, |open| open + group_length(&rest[open..]))
}

/// Number of tokens of the group that begins here with a bracket.
pub(crate) fn group_length(rest: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in rest.iter().enumerate() {
        if token.kind == Kind::Sign {
            match token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        if depth == 0 {
            return at + 1;
        }
    }
    rest.len()
}

pub(crate) fn is_module(rest: &[Token]) -> bool {
    let rest = match rest {
        [public, open, ..] if public.is_word("pub") && open.is("(") => {
            &rest[1 + group_length(&rest[1..])..]
        }
        [public, ..] if public.is_word("pub") => &rest[1..],
        _ => rest,
    };
    matches!(rest, [word, name, end, ..]
        if word.is_word("mod") && name.kind == Kind::Word && (end.is(";") || end.is("{")))
}

/// Number of tokens of the item, field or statement that begins here.
pub(crate) fn item_length(rest: &[Token]) -> usize {
    const TO_SEMICOLON: [&str; 5] = ["use", "const", "static", "let", "type"];
    const ITEMS: [&str; 10] =
        ["fn", "struct", "enum", "impl", "trait", "mod", "async", "unsafe", "union", "macro_rules"];
    let mut words = rest.iter().filter(|token| token.kind == Kind::Word);
    let first = words.find(|word| !["pub", "crate", "super", "in"].contains(&word.text));
    let first = first.map_or("", |word| word.text);
    let is_fn = rest.iter().take(6).any(|token| token.is_word("fn"));
    let to_semicolon = TO_SEMICOLON.contains(&first) && !is_fn;
    let is_item = ITEMS.contains(&first) || is_fn;
    let mut at = 0;
    while at < rest.len() {
        let token = &rest[at];
        if token.is("}") || token.is(";") || (token.is(",") && !is_item && !to_semicolon) {
            return at + usize::from(!token.is("}"));
        }
        let length = group_length(&rest[at..]);
        at += length;
        if token.is("{") && is_item {
            return at;
        }
    }
    rest.len()
}

/// The name of the type of an `impl Type` block; `None` for the implementation of a trait.
pub(crate) fn inherent_type(rest: &[Token]) -> Option<&Token> {
    let head = rest.iter().position(|token| token.is("{"))?;
    let (mut angles, mut name) = (0_usize, None);
    for token in &rest[1..head] {
        match token.text {
            "<" => angles += 1,
            ">" => angles = angles.saturating_sub(1),
            "for" if angles == 0 => return None,
            "where" if angles == 0 => break,
            _ if angles == 0 && token.kind == Kind::Word => name = Some(token),
            _ => {}
        }
    }
    name
}

pub(crate) fn branches(group: &[Token]) -> Vec<&[Token]> {
    let (mut branches, mut from, mut at) = (Vec::new(), 0, 0);
    while at < group.len() {
        if group[at].is(",") {
            branches.push(&group[from..at]);
            from = at + 1;
        }
        at += group_length(&group[at..]);
    }
    if from < group.len() {
        branches.push(&group[from..]);
    }
    branches
}

/// The code of a file without the items below `#[cfg(test)]`, and the lines of those items.
pub(crate) fn without_tests(tokens: &[Token]) -> (Vec<Token>, BTreeSet<usize>) {
    let (mut code, mut lines, mut at) = (Vec::new(), BTreeSet::new(), 0);
    while at < tokens.len() {
        let rest = &tokens[at..];
        if !rest[0].is("#") {
            code.push(rest[0]);
            at += 1;
            continue;
        }
        let (mut attributes, mut length) = (Attributes::default(), 0);
        while length < rest.len() && rest[length].is("#") {
            let next = attribute_length(&rest[length..]);
            attributes.add(&rest[length..length + next]);
            length += next;
        }
        if attributes.is_test {
            length += item_length(&rest[length..]);
            lines.extend(rest[0].line..=rest[length - 1].line);
        } else {
            code.extend(&rest[..length]);
        }
        at += length;
    }
    (code, lines)
}

#[test]
fn items_of_tests_are_no_code_and_what_follows_them_is() {
    let source = "#[cfg(test)]\nmod tests;\nfn a() {}\n#[cfg(test)]\nuse b::{c, d};\n\
        struct E {\n    #[cfg(test)]\n    f: G<H>,\n    i: J,\n}\n#[cfg(not(test))]\nfn k() {}\n";
    let (code, lines) = without_tests(&crate::lexer::tokens(source));
    let words = code.iter().filter(|token| token.kind == Kind::Word).map(|token| token.text);
    assert_eq!(
        words.collect::<Vec<_>>(),
        ["fn", "a", "struct", "E", "i", "J", "cfg", "not", "test", "fn", "k"]
    );
    assert_eq!(lines.into_iter().collect::<Vec<_>>(), [1, 2, 4, 5, 7, 8]);
}

//! A page as its reader meets it: one code block after the other, each with what is to become of it.
//!
//! A block that is not run says why in a comment right above it (`<!-- not run: reason -->`), so
//! that nothing is passed over in silence: what has neither a runner nor a reason is an error.

use anyhow::{Context, Result, bail, ensure};

/// A fenced block that a reader would do something with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Of the fence, counted from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) fate: Fate,
    /// What the page says comes out.
    pub(crate) output: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Run {
        language: Language,
        /// `<!-- fails -->`: the page shows an error.
        fails: bool,
    },
    /// Compiled as a test of the library's documentation.
    Doctest,
    NotRun {
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Sql,
    Shell,
    /// A configuration file.
    Toml,
}

/// A fence with its words, its lines and the mark above it.
struct Fenced<'a> {
    line: usize,
    word: &'a str,
    text: String,
    mark: Option<&'a str>,
    /// Nothing but blank lines and a mark since the fence before.
    follows: bool,
}

pub(crate) fn parse(page: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    for fenced in fences(page)? {
        let line = fenced.line;
        let is_output = fenced.word == "text" && fenced.mark.is_none() && fenced.follows;
        match blocks.last_mut() {
            Some(block) if is_output && block.output.is_none() => block.output = Some(fenced.text),
            _ => blocks.push(block(fenced).with_context(|| format!("line {line}"))?),
        }
    }
    Ok(blocks)
}

fn block(fenced: Fenced<'_>) -> Result<Block> {
    let fate = fate(fenced.word, fenced.mark)?;
    Ok(Block { line: fenced.line, text: fenced.text, fate, output: None })
}

fn fate(word: &str, mark: Option<&str>) -> Result<Fate> {
    if let Some(reason) = mark.and_then(|mark| mark.strip_prefix("not run")) {
        let reason = reason.trim_start_matches(':').trim().to_owned();
        ensure!(!reason.is_empty(), "a block that is not run needs a reason");
        return Ok(Fate::NotRun { reason });
    }
    let fails = match mark {
        None => false,
        Some("fails") => true,
        Some(other) => bail!("a mark that nobody knows: {other}"),
    };
    let language = match word {
        "sql" => Language::Sql,
        "sh" => Language::Shell,
        "toml" => Language::Toml,
        "rust" => return Ok(Fate::Doctest),
        other => bail!("nothing runs a block of {other:?}, and no mark says why it is not run"),
    };
    Ok(Fate::Run { language, fails })
}

fn fences(page: &str) -> Result<Vec<Fenced<'_>>> {
    let mut lines = page.lines().enumerate();
    let mut found = Vec::new();
    let (mut mark, mut follows) = (None, false);
    while let Some((index, line)) = lines.next() {
        let trimmed = line.trim();
        if let Some(word) = trimmed.strip_prefix("```") {
            let indent = line.len() - line.trim_start().len();
            let text = body(&mut lines, indent).with_context(|| format!("line {}", index + 1))?;
            let word = word.split(',').next().unwrap_or_default().trim();
            found.push(Fenced { line: index + 1, word, text, mark: mark.take(), follows });
            follows = true;
        } else if let Some(comment) = trimmed.strip_prefix("<!--") {
            mark = comment.strip_suffix("-->").map(str::trim);
        } else if !trimmed.is_empty() {
            (mark, follows) = (None, false);
        }
    }
    Ok(found)
}

/// The lines up to the closing fence, without the indent of a list.
fn body<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>, indent: usize) -> Result<String> {
    let mut text = String::new();
    for (_, line) in lines {
        if line.trim() == "```" {
            return Ok(text);
        }
        text.push_str(line.get(indent..).unwrap_or_else(|| line.trim_start()));
        text.push('\n');
    }
    bail!("a block is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(language: Language, fails: bool) -> Fate {
        Fate::Run { language, fails }
    }

    #[test]
    fn blocks_come_in_their_order_with_their_output() {
        let page =
            "a\n```sql\nselect 1;\n```\n\n```text\n1\n```\n\n- b\n  ```sh\n  if a\n    b\n  ```\n";
        let sql = Block {
            line: 2,
            text: "select 1;\n".to_owned(),
            fate: run(Language::Sql, false),
            output: Some("1\n".to_owned()),
        };
        let shell = Block {
            line: 11,
            text: "if a\n  b\n".to_owned(),
            fate: run(Language::Shell, false),
            output: None,
        };
        assert_eq!(parse(page).unwrap(), [sql, shell]);
    }

    #[test]
    fn a_mark_holds_for_the_block_below_it() {
        let page = "<!-- fails -->\n```sh\nx\n```\n<!-- not run: needs a moon -->\n```java\ny\n```\n\
                    ```toml\nz\n```\n<!-- fails -->\nwords\n```sql\nselect\n```\n```rust,no_run\nf()\n```\n";
        let fates: Vec<_> = parse(page).unwrap().into_iter().map(|block| block.fate).collect();
        let expected = [
            run(Language::Shell, true),
            Fate::NotRun { reason: "needs a moon".to_owned() },
            run(Language::Toml, false),
            run(Language::Sql, false),
            Fate::Doctest,
        ];
        assert_eq!(fates, expected);
    }

    #[test]
    fn nothing_is_passed_over_in_silence() {
        let wrong = [
            ("```python\nx\n```\n", "nothing runs a block of \"python\""),
            ("```\nx\n```\n", "nothing runs a block of \"\""),
            ("<!-- not run -->\n```sh\nx\n```\n", "needs a reason"),
            ("<!-- not run: -->\n```sh\nx\n```\n", "needs a reason"),
            ("<!-- notrun: typo -->\n```sh\nx\n```\n", "a mark that nobody knows"),
            ("words\n```text\nan output of nothing\n```\n", "nothing runs a block of \"text\""),
            ("```sh\nx\n```\nwords\n```text\nfar off\n```\n", "nothing runs a block of \"text\""),
            ("```sh\nx\n", "never closed"),
        ];
        for (page, said) in wrong {
            let error = format!("{:#}", parse(page).unwrap_err());
            assert!(error.contains(said), "{page:?}: {error}");
        }
    }
}

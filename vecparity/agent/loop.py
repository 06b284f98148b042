"""The loop in words, for those who work in it: the task, and the verbs of a session."""

from vecparity.agent.scaffold import FILE, task_in_words
from vecparity.agent.settings import SessionSettings
from vecparity.errors import in_number


def instructions(settings: SessionSettings) -> str:
    """Returns what a model is told: the task, its tools, and how a session ends."""
    tests = in_number(settings.budget, "test")
    hidden = ", one of which tests leave out" if settings.hidden else ""
    return f"""\
{task_in_words(settings.config(settings.shown[0]))}

Work on {FILE}. Only the lines of its editable block may be changed; it must define init_model, make_dataset and
get_optimizer_config. There are three configurations{hidden}.

view() shows the file with numbered lines. edit(op, start_line, end_line, content) replaces, inserts or deletes lines
of the block. undo(n) takes back edits. test() trains and tests the file; you have {tests}, and a file with an error
uses one, too. submit(n) submits the file of the n-th test: it is trained again on other secrets, that is your score,
and the session ends. Submit before you stop."""

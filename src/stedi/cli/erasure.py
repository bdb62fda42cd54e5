"""The command that erases people."""

from stedi.cli.erase_people import Emails, File, Lift, Plan, RestoreCheck, Yes, check_options, erase_people, lift_person
from stedi.cli.program import Call, app, command


@command(app, "Privacy")
def erase(
    call: Call,
    email: Emails = None,
    file: File = None,
    yes: Yes = False,
    plan: Plan = False,
    restore_check: RestoreCheck = False,
    lift: Lift = False,
) -> None:
    """Erase people everywhere: landing files, tables with all their history, models and logs.

    Shows first what would be removed, and asks. Writes a signed certificate. An erasure that was killed goes on when it is
    called again.

    Example: stedi erase ann@example.com
    """
    from stedi.privacy.erasure.plan import NOTHING_ELSEWHERE

    addresses = check_options(email, file, yes=yes, plan=plan, restore_check=restore_check, lift=lift)
    settings = call.settings()
    if lift:
        lift_person(settings, addresses[0], as_json=call.as_json)
        return
    erase_people(
        settings, addresses, NOTHING_ELSEWHERE, yes=yes, plan=plan, restore_check=restore_check, as_json=call.as_json
    )

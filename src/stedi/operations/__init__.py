"""Operations zone: what runs found out about the tables."""

from stedi.operations import rule_result

TABLES = (rule_result.TABLE,)

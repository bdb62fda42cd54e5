"""Operations zone: what runs found out about the tables."""

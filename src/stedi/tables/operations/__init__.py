"""Operations zone: what runs record about the tables."""

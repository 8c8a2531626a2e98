"""Beam transforms around plain functions, and the adapters for llama.cpp and the LLM endpoint."""
